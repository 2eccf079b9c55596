package platform

import (
	"context"
	"os"
)

func readerGone(ctx context.Context, _ *os.File, _ bool) bool {
	<-ctx.Done()
	return false
}

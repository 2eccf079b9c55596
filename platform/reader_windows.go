package platform

import (
	"context"
	"os"
)

func readerGone(ctx context.Context, _ *os.File) bool {
	<-ctx.Done()
	return false
}

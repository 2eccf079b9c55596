package platform

import (
	"context"
	"os"
)

// ReaderGone waits until nobody is left who could read what is written to f, or until ctx ends, and says whether it was
// the first. It tells of pipes and, except on macOS, of sockets; for anything else, and on Windows, it waits for ctx.
func ReaderGone(ctx context.Context, f *os.File) bool {
	info, err := f.Stat()
	if err != nil || info.Mode()&(os.ModeNamedPipe|os.ModeSocket) == 0 {
		<-ctx.Done()
		return false
	}
	return readerGone(ctx, f, info.Mode()&os.ModeNamedPipe != 0)
}

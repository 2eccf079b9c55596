package platform

import (
	"context"
	"os"
)

// ReaderGone waits until f has no reader left, or until ctx ends, and reports whether it was the former. It works for
// pipes and, except on macOS, for sockets; for anything else, and on Windows, it waits for ctx.
func ReaderGone(ctx context.Context, f *os.File) bool {
	info, err := f.Stat()
	if err != nil || info.Mode()&(os.ModeNamedPipe|os.ModeSocket) == 0 {
		<-ctx.Done()
		return false
	}
	return readerGone(ctx, f, info.Mode()&os.ModeNamedPipe != 0)
}

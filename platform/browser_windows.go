package platform

import (
	"context"
	"fmt"
	"io"

	"golang.org/x/sys/windows"
)

// openBrowser asks the shell for the program of http links. It starts no program of a name that we choose, passes no
// stream of ours on, and does not wait.
func openBrowser(_ context.Context, url string, _ func(string) string, _ io.Writer, _ <-chan struct{}) error {
	verb, err := windows.UTF16PtrFromString("open")
	if err != nil {
		return err
	}
	file, err := windows.UTF16PtrFromString(url)
	if err != nil {
		return err
	}
	if err := windows.ShellExecute(0, verb, file, nil, nil, windows.SW_SHOWNORMAL); err != nil {
		return fmt.Errorf("%w: %v", ErrNoBrowser, err)
	}
	return nil
}

package platform

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/windows"
)

// openBrowser starts the commands of %BROWSER%, and then asks the shell for the program of http links. It passes no stream
// of ours on.
func openBrowser(ctx context.Context, url string, getenv func(string) string, _ io.Writer, opened <-chan struct{}) error {
	failed := ErrNoBrowser
	for _, argv := range BrowserCommands(getenv("BROWSER")) {
		if noBrowser(argv) {
			return failed
		}
		err := launch(ctx, argv, url, opened)
		if err == nil || ctx.Err() != nil {
			return err
		}
		failed = fmt.Errorf("%w; %s: %v", failed, argv[0], err)
	}
	verb, err := windows.UTF16PtrFromString("open")
	if err != nil {
		return err
	}
	file, err := windows.UTF16PtrFromString(url)
	if err != nil {
		return err
	}
	if err := windows.ShellExecute(0, verb, file, nil, nil, windows.SW_SHOWNORMAL); err != nil {
		return fmt.Errorf("%w: %v", failed, err)
	}
	return nil
}

// launch starts a command of %BROWSER%, which is found by an absolute path or in the PATH, and watches it until it ends or the page
// is fetched. The context ends the watching, never the program.
func launch(ctx context.Context, argv []string, url string, opened <-chan struct{}) error {
	path, err := exec.LookPath(argv[0])
	if err == nil && !filepath.IsAbs(path) {
		err = exec.ErrDot
	}
	if err != nil {
		return err
	}
	cmd, err := Command(path, withURL(argv[1:], url)...)
	if err != nil {
		return err
	}
	cmd.Env = WithoutSecrets(os.Environ())
	cmd.Dir = filepath.VolumeName(path) + `\` // the browser outlives us, and would keep our folder in use
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.CreationFlags = detached().CreationFlags
	if err := cmd.Start(); err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	select {
	case err := <-done:
		return err
	case <-opened:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

const browserSeparator = ";"

// browserCommand splits a command as a program of Windows splits its command line.
func browserCommand(command string) []string {
	if strings.TrimSpace(command) == "" {
		return nil
	}
	argv, err := windows.DecomposeCommandLine(command)
	if err != nil {
		return nil
	}
	return argv
}

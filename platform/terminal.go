package platform

import (
	"os"
	"strings"

	"golang.org/x/term"
)

// Terminal is the controlling terminal of this process, for words to a person. It is never our stdin or stdout, which
// belong to the wire.
type Terminal struct{ f *os.File }

// OpenTerminal opens /dev/tty, or the console on Windows. It is an error if this process has none.
func OpenTerminal() (*Terminal, error) {
	f, err := openTerminal()
	if err != nil {
		return nil, err
	}
	return &Terminal{f}, nil
}

// Write prints p as it is. Escaping foreign text is the caller's part.
func (t *Terminal) Write(p []byte) (int, error) { return t.f.Write(p) }

// Close closes the terminal.
func (t *Terminal) Close() error { return t.f.Close() }

// Foreground says whether our process group is the one that the terminal listens to, that is whether a person who types
// there means us. On Windows it is always true.
func (t *Terminal) Foreground() bool { return foreground(t.f) }

// Width returns the number of columns, 80 where it cannot be told.
func (t *Terminal) Width() int {
	width, _, err := term.GetSize(int(t.f.Fd()))
	if err != nil || width < 1 {
		return 80
	}
	return width
}

// Graphical says whether this user has a graphical session that a browser could open in: on Linux and other systems
// DISPLAY, WAYLAND_DISPLAY or WSL; on macOS whether this user is the one at the console, also when asked over SSH; on
// Windows whether this is not the services' session.
func Graphical(getenv func(string) string) bool { return graphical(getenv) }

// Hostname returns the short name of this machine for pages and messages: at most 63 printable ASCII characters before
// the first dot, "this computer" where there is none.
func Hostname() string {
	name, err := os.Hostname()
	if err != nil {
		return "this computer"
	}
	return shortHostname(name)
}

func shortHostname(name string) string {
	name, _, _ = strings.Cut(name, ".")
	name = strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' {
			return -1
		}
		return r
	}, name)
	if name == "" {
		return "this computer"
	}
	return name[:min(len(name), 63)]
}

package platform

import (
	"bytes"
	"context"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/term"
)

const (
	// maxLine bounds a line that a person pastes.
	maxLine = 16 << 10
	// pasteGap of silence ends a paste: terminals deliver it as one burst.
	pasteGap = 50 * time.Millisecond
	// maxPaste bounds how long a burst may go on.
	maxPaste = 2 * time.Second
	// lookAgain is how often a reader checks that it is still in the foreground and that the terminal's mode is still
	// its own.
	lookAgain = 250 * time.Millisecond
)

// Terminal is the controlling terminal of this process, for messages to its user. It is never our stdin or stdout,
// which belong to the wire.
type Terminal struct {
	f       *os.File
	restore func() // the console's mode, if it was changed
}

// OpenTerminal opens /dev/tty, or the console on Windows. It is an error if this process has none.
func OpenTerminal() (*Terminal, error) {
	f, err := openTerminal()
	if err != nil {
		return nil, err
	}
	return &Terminal{f: f}, nil
}

// Write prints p unchanged. The caller escapes foreign text.
func (t *Terminal) Write(p []byte) (int, error) { return t.f.Write(p) }

// Close closes the terminal, whose mode is again as it was.
func (t *Terminal) Close() error {
	if t.restore != nil {
		t.restore()
	}
	return t.f.Close()
}

// EscapeSequences reports whether the terminal takes escape sequences for colours. The console of Windows does so only if it is
// told to, which this does until Close.
func (t *Terminal) EscapeSequences() bool {
	restore, ok := escapeSequences(t.f)
	if t.restore == nil {
		t.restore = restore
	}
	return ok
}

// EscapeSequences is [Terminal.EscapeSequences] for a stream that is a terminal, until restore is called.
func EscapeSequences(f *os.File) (restore func(), ok bool) { return escapeSequences(f) }

// Foreground reports whether our process group is the terminal's foreground group, so that what is typed there is meant
// for us. On Windows it is always true.
func (t *Terminal) Foreground() bool { return foreground(t.f) }

// ReadLines reads what a user pastes or types until take returns false, the user ends the input with Ctrl-D, or ctx
// ends. take gets a line without its end and without what terminals put around a paste, or tooLong where it has more
// than 16 KiB. What follows a line within the same paste is part of it, up to 16 KiB, with line feeds between: an address
// that was copied from a narrow window is one answer, and so is a page of text.
//
// Nothing is echoed, because an address may hold a code, and no line discipline cuts a line (Linux at 4,096 bytes, macOS
// at 1,024). Ctrl-C and Ctrl-Z work as ever. Unless our process group is in the foreground it reads nothing and changes
// nothing: it waits. On return the terminal is as it was, and what was typed meanwhile is gone.
//
// The error is the context's, or that the terminal cannot be read; nil after Ctrl-D or when take has enough.
func (t *Terminal) ReadLines(ctx context.Context, take func(line string, tooLong bool) (more bool)) error {
	return t.readLines(ctx, take)
}

// Size returns the number of columns and rows, 80 and 24 if they are unknown.
func (t *Terminal) Size() (columns, rows int) {
	columns, rows, err := term.GetSize(int(t.f.Fd()))
	if err != nil || columns < 1 || rows < 1 {
		return 80, 24
	}
	return columns, rows
}

// Graphical reports whether this user has a graphical session on this machine: on Linux and other systems DISPLAY or
// WAYLAND_DISPLAY; on macOS whether this user is the one at the console, also when asked over SSH; on Windows whether
// this is not the services' session. [Where] decides if its user sees it.
func Graphical(getenv func(string) string) bool { return graphicalEvidence(getenv) != "" }

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

// input gathers a line from the bytes or characters of a terminal that edits nothing itself.
type input struct {
	line    []byte
	rest    []byte // what follows the line in the same paste
	tooLong bool
}

// The keys that edit a line.
const (
	keyEnd       = 0x04 // Ctrl-D
	keyBackspace = 0x08
	keyKill      = 0x15 // Ctrl-U
	keyDelete    = 0x7f
)

// add takes one byte. complete reports that it ended the line, end that it ended the input.
func (in *input) add(b byte) (complete, end bool) {
	switch {
	case b == '\r' || b == '\n':
		return true, false
	case b == keyEnd:
		return false, len(in.line) == 0 && !in.tooLong
	case b == keyBackspace || b == keyDelete:
		in.line = in.line[:max(len(in.line)-1, 0)]
	case b == keyKill:
		*in = input{}
	case len(in.line) == maxLine:
		in.tooLong = true
	default:
		in.line = append(in.line, b)
	}
	return false, false
}

// addRest takes what follows a line in the same paste. More than maxLine of it is dropped.
func (in *input) addRest(more []byte) {
	in.rest = append(in.rest, more[:min(len(more), maxLine-len(in.rest))]...)
}

// take empties the line. Terminals that were told to mark a paste put escape sequences around it (xterm, "Bracketed
// Paste Mode").
func (in *input) take() (line string, tooLong bool) {
	text := in.line
	if len(in.rest) > 0 {
		rest := bytes.ReplaceAll(bytes.ReplaceAll(in.rest, []byte("\r\n"), []byte("\n")), []byte("\r"), []byte("\n"))
		text = slices.Concat(text, []byte("\n"), rest)
	}
	text = bytes.TrimRight(bytes.TrimPrefix(text, []byte("\x1b[200~")), "\n")
	text = bytes.TrimRight(bytes.TrimSuffix(text, []byte("\x1b[201~")), "\n")
	line, tooLong = string(text), in.tooLong
	if tooLong {
		line = ""
	}
	*in = input{}
	return line, tooLong
}

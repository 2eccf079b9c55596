package console

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"clerk-credential-helper/platform"
)

// Screen shows the progress of a sign-in: on the controlling terminal if this process is in its foreground, otherwise on
// Console.Err. Its methods may be called from several goroutines. The caller escapes foreign text.
type Screen struct {
	// Terminal is nil if the screen is Console.Err.
	Terminal *platform.Terminal

	stderr  io.Writer
	getenv  func(string) string
	colour  bool
	redraws bool // a line can be overwritten

	mu      sync.Mutex
	pending int // columns of the line to be overwritten, 0 if there is none
}

// OpenScreen opens the screen. The caller must close it.
func (c *Console) OpenScreen() *Screen {
	s := &Screen{stderr: c.Err, getenv: c.Getenv}
	t, err := platform.OpenTerminal()
	if err != nil {
		return s
	}
	if !t.Foreground() {
		t.Close()
		return s
	}
	s.Terminal = t
	s.redraws = c.Getenv("TERM") != "dumb"
	s.colour = styleOf(true, c.Getenv, t.EscapeSequences).colour
	return s
}

// Close closes the terminal.
func (s *Screen) Close() {
	if s.Terminal != nil {
		s.Terminal.Close()
	}
}

func (s *Screen) writer() io.Writer {
	if s.Terminal != nil {
		return s.Terminal
	}
	return s.stderr
}

// Say prints lines, above the one of Wait. At a terminal they are folded between words, except those that begin with a
// blank: an address must stay whole.
func (s *Screen) Say(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if s.Terminal == nil {
		s.print(text)
		return
	}
	s.print(foldLines(text, s.columns()))
}

// columns is how long a line may be.
func (s *Screen) columns() int {
	columns, _ := s.Terminal.Size()
	return readable(columns)
}

func (s *Screen) print(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wipe()
	fmt.Fprintln(s.writer(), text)
}

// wipe clears the line that is overwritten. s.mu is held.
func (s *Screen) wipe() {
	if s.pending > 0 {
		fmt.Fprintf(s.writer(), "\r%*s\r", s.pending, "")
		s.pending = 0
	}
}

// Wait shows, until ctx ends or stop is called, when the wait for the user ends and how much time is left, on one line that
// does not scroll. If the screen cannot overwrite a line, it prints the end once. stop must be called, and clears the line.
func (s *Screen) Wait(ctx context.Context, until time.Time) (stop func()) {
	text := fmt.Sprintf("Waiting until %s; press Ctrl-C to give up.", until.Local().Format(time.TimeOnly))
	if s.Terminal == nil || !s.redraws {
		s.Say("%s", text)
		return func() {}
	}
	return s.redraw(ctx, func() string {
		left := max(0, time.Until(until).Round(time.Second))
		return fmt.Sprintf("%s  %d:%02d", text, int(left.Minutes()), int(left.Seconds())%60)
	})
}

// redraw shows a line, at once and each second anew, until ctx ends or stop is called, which clears it. It needs a terminal
// that can overwrite a line.
func (s *Screen) redraw(ctx context.Context, text func() string) (stop func()) {
	draw := func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if !s.Terminal.Foreground() {
			s.pending = 0 // the terminal is a shell's now
			return
		}
		columns, _ := s.Terminal.Size()
		line := []rune(text())
		line = line[:min(len(line), columns-1)]
		s.wipe()
		fmt.Fprint(s.Terminal, string(line))
		s.pending = len(line)
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			draw()
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	}()
	return func() {
		cancel()
		<-done
		s.mu.Lock()
		defer s.mu.Unlock()
		s.wipe()
	}
}

// pasteTries is how many wrong addresses a person may paste.
const pasteTries = 3

// ErrWrongPastes means that a person has pasted three addresses that were wrong.
var ErrWrongPastes = errors.New("three addresses were pasted, and none was the one that is waited for")

// ReadPastes has take judge what is pasted, until it returns nil, ctx ends, or the person ends the input. It says what is
// wrong with each, and echoes nothing. Without a terminal it returns at once.
//
// Errors: ErrWrongPastes, or that the terminal cannot be read.
func (s *Screen) ReadPastes(ctx context.Context, take func(text string) error) error {
	if s.Terminal == nil {
		return nil
	}
	wrong := 0
	err := s.Terminal.ReadLines(ctx, func(line string, tooLong bool) bool {
		if strings.TrimSpace(line) == "" && !tooLong {
			return true
		}
		err := errors.New("that is too long for an address of a sign-in")
		if !tooLong {
			err = take(line)
		}
		if err == nil {
			return false
		}
		if wrong++; wrong == pasteTries {
			s.Say("Sorry, %v.", err)
			return false
		}
		s.Say("Sorry, %v. Please try again.", err)
		return true
	})
	if wrong == pasteTries {
		return ErrWrongPastes
	}
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// Bold returns text in bold if the screen has colour.
func (s *Screen) Bold(text string) string {
	if !s.colour {
		return text
	}
	return bold(text)
}

func bold(text string) string { return "\x1b[1m" + text + "\x1b[0m" }

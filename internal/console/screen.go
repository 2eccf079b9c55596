package console

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"clerk-credential-helper/platform"
)

// Screen is where a person sees what happens: the controlling terminal if it listens to us, else standard error. It may be
// used by several goroutines.
type Screen struct {
	// Terminal is nil for standard error.
	Terminal *platform.Terminal

	stderr  io.Writer
	getenv  func(string) string
	colour  bool
	redraws bool // a line can be written over

	mu      sync.Mutex
	pending int // columns of the line that is written over, 0 if there is none
}

// OpenScreen takes the controlling terminal if this process is in its foreground. The caller must close the screen.
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
	s.colour = s.redraws && c.Getenv("TERM") != "" && c.Getenv("NO_COLOR") == ""
	return s
}

// Close gives the terminal back.
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

// Say writes lines, above the one that is written over. At a terminal they break between words, but for those that begin
// with a blank: an address must stay whole.
func (s *Screen) Say(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if s.Terminal == nil {
		s.print(text)
		return
	}
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if !strings.HasPrefix(line, " ") {
			lines[i] = Folded(line)
		}
	}
	s.print(strings.Join(lines, "\n"))
}

func (s *Screen) print(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wipe()
	fmt.Fprintln(s.writer(), text)
}

// wipe takes back the line that is written over. s.mu is held.
func (s *Screen) wipe() {
	if s.pending > 0 {
		fmt.Fprintf(s.writer(), "\r%*s\r", s.pending, "")
		s.pending = 0
	}
}

// Wait says until when the person is waited for, and how long that is yet, on one line that does not scroll. Where
// nothing can be written over it says so once.
func (s *Screen) Wait(ctx context.Context, until time.Time) (stop func()) {
	words := fmt.Sprintf("Waiting until %s; press Ctrl-C to give up.", until.Local().Format(time.TimeOnly))
	if s.Terminal == nil || !s.redraws {
		s.Say("%s", words)
		return func() {}
	}
	draw := func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if !s.Terminal.Foreground() {
			s.pending = 0 // the line is a shell's now
			return
		}
		left := max(0, time.Until(until).Round(time.Second))
		line := fmt.Sprintf("%s  %d:%02d", words, int(left.Minutes()), int(left.Seconds())%60)
		line = line[:min(len(line), s.Terminal.Width()-1)]
		s.wipe()
		fmt.Fprint(s.Terminal, line)
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

// Bold makes a text stand out where there is colour.
func (s *Screen) Bold(text string) string {
	if !s.colour {
		return text
	}
	return "\x1b[1m" + text + "\x1b[0m"
}

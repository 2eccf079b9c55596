package console

import (
	"context"
	"fmt"
	"time"

	"clerk-credential-helper/protocol"
)

// patience is how long a person waits for a command before they want to know what it does.
const patience = time.Second

// Progress is a line at the terminal that says what a command waits for, once that takes longer than a second.
type Progress struct {
	// Screen is where the line stands; nil, and nothing is shown, where Console.Err is no terminal that overwrites a line.
	Screen *Screen

	stop func()

	// What is waited for, and since when. Screen.mu is held.
	what  string
	since time.Time
}

// Progress begins to show what is waited for. Stop must be called.
func (c *Console) Progress() *Progress {
	p := &Progress{}
	if !IsTerminal(c.Err) {
		return p
	}
	s := c.OpenScreen()
	if s.Terminal == nil || !s.redraws {
		s.Close()
		return p
	}
	p.Screen = s
	p.stop = s.redraw(context.Background(), p.line) // Stop ends it
	return p
}

// line is what is shown now.
func (p *Progress) line() string {
	took := time.Since(p.since)
	if p.what == "" || took < patience {
		return ""
	}
	return fmt.Sprintf("%s ... %ds", protocol.Escape(p.what), int(took.Seconds()))
}

// Now says what is waited for from now on.
func (p *Progress) Now(what string) {
	if p.Screen == nil {
		return
	}
	p.Screen.mu.Lock()
	defer p.Screen.mu.Unlock()
	p.Screen.wipe()
	p.what, p.since = what, time.Now()
}

// Above has print print lines to the same terminal.
func (p *Progress) Above(print func()) {
	if p.Screen != nil {
		p.Screen.mu.Lock()
		defer p.Screen.mu.Unlock()
		p.Screen.wipe()
		p.since = time.Now()
	}
	print()
}

// Stop clears the line.
func (p *Progress) Stop() {
	if p.Screen != nil {
		p.stop()
		p.Screen.Close()
		p.Screen = nil
	}
}

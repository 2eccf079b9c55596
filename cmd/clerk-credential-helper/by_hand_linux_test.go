package main

import (
	"strings"
	"testing"
)

// TestByHand: each program that a tool calls, and each word of ours for one, says something to a person who types it at
// a terminal, and does not just wait.
func TestByHand(t *testing.T) {
	p := sitDown(t, 200, map[string]string{"CLERK_HELPER_INTERACTIVE": "never"})
	asked := 0
	for _, tool := range tools() {
		var lines []string
		if tool.name != "" {
			lines = append(lines, tool.name, tool.name+" get")
		}
		if tool.word != "" {
			lines = append(lines, "clerk-credential-helper "+tool.word)
		}
		for _, line := range lines {
			p.mu.Lock()
			p.seen.Reset()
			p.mu.Unlock()
			cmd := p.run("sh", "-c", line+"; echo done")
			if waits := tool.verb != noVerb && tool.name != "keyring"; waits {
				p.see("answers " + tool.who)
			}
			p.typeIn("\x04")
			p.see("done")
			p.end(cmd, 0)
			if text := strings.TrimSpace(strings.ReplaceAll(p.seenText(), "done", "")); text == "" {
				t.Errorf("%s says nothing", line)
			}
			asked++
		}
	}
	if asked < 18 {
		t.Errorf("only %d command lines", asked)
	}
}

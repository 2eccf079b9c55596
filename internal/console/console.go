// Package console speaks with the person who typed a command: it prints facts and advice, asks questions, and shows how a
// sign-in goes on the screen.
//
// The streams of the process and its environment come in; lines that fit a terminal go out, and answers come back. Foreign
// text is escaped on its way to a terminal. Where standard input is not a terminal, a question is an error: the package
// never waits for an answer that cannot come, never reads what a tool sends, and never prints a secret.
package console

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"clerk-credential-helper/protocol"
)

// Console is the process's streams, as a command for people uses them.
type Console struct {
	In       io.Reader
	Out, Err io.Writer
	Getenv   func(string) string
}

// Show prints to standard output what is not a message: facts, or the lines of a change.
func (c *Console) Show(text string) { fmt.Fprint(c.Out, text) }

// Escape makes foreign text harmless for a terminal, as [protocol.Escape] does.
func Escape(s string) string { return protocol.Escape(s) }

// JSON prints a value to standard output, indented.
func (c *Console) JSON(v any) error {
	e := json.NewEncoder(c.Out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// IsTerminal reports whether a stream is a terminal.
func IsTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// Confirm asks the person who typed the command. Only y and yes are a yes.
func (c *Console) Confirm(ctx context.Context, question string) (bool, error) {
	answer, err := c.Prompt(ctx, question+" [y/N] ")
	if errors.Is(err, ErrNoTerminal) {
		return false, fmt.Errorf("%w: --yes makes the changes, --dry-run shows them", ErrNoTerminal)
	}
	if err != nil {
		return false, err
	}
	answer = strings.ToLower(answer)
	return answer == "y" || answer == "yes", nil
}

// Errors of Confirm and Prompt.
var (
	// ErrNoTerminal means that standard input is not a terminal: the command needs a flag in place of an answer.
	ErrNoTerminal = errors.New("standard input is not a terminal, so nobody can be asked")
	// ErrCancelled means that Ctrl-C ended a wait for the person.
	ErrCancelled = errors.New("it was cancelled")
)

// Prompt asks for one line on standard input, which must be a terminal: a script has flags for its answers.
func (c *Console) Prompt(ctx context.Context, question string) (string, error) {
	if !IsTerminal(c.In) {
		return "", ErrNoTerminal
	}
	fmt.Fprint(c.Err, question)
	type result struct {
		line string
		err  error
	}
	read := make(chan result, 1)
	go func() { // a terminal cannot be told to stop; the process is about to end then
		// A terminal gives one line to one read, so nothing of the next answer is lost.
		line, err := bufio.NewReaderSize(c.In, 4096).ReadString('\n')
		read <- result{line, err}
	}()
	select {
	case r := <-read:
		if r.err == nil {
			return strings.TrimSpace(r.line), nil
		}
		fmt.Fprintln(c.Err)
		return "", errors.New("no answer came")
	case <-ctx.Done():
		fmt.Fprintln(c.Err)
		return "", WhyEnded(ctx)
	}
}

// Tell prints lines for a person. At a terminal no word is broken where the line is; a line that begins with blanks is a
// command to be copied, and stays as it is.
func (c *Console) Tell(texts ...string) {
	for _, text := range texts {
		text = protocol.Escape(text)
		if IsTerminal(c.Err) && !strings.HasPrefix(text, " ") {
			text = Folded(text)
		}
		fmt.Fprintln(c.Err, text)
	}
}

// Warn prints an error and a hint as [protocol.WriteMessage] does, folded as Tell does.
func (c *Console) Warn(err error, hint string) {
	c.Tell("clerk-credential-helper: " + err.Error())
	if hint != "" {
		c.Tell("hint: " + hint)
	}
}

// WhyEnded is the end of a wait for a person: ErrCancelled, or the cause of the context.
func WhyEnded(ctx context.Context) error {
	if errors.Is(context.Cause(ctx), context.Canceled) {
		return ErrCancelled
	}
	return context.Cause(ctx)
}

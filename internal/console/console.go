// Package console talks to the person who typed a command: it prints facts, messages and JSON documents, asks questions,
// shows progress, and writes the trace that they have asked for. From the grammar of the command line it makes the manual
// page and the words that a shell completes.
//
// The streams of the process and its environment come in; lines that fit a terminal go out, and answers come back. If
// standard input is not a terminal, a question is an error: the package never waits for an answer that cannot come, and
// never reads what a tool sends. Fact, Tell and Warn escape foreign text; callers of the others do so with [Escape].
package console

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"clerk-credential-helper/protocol"
)

// Console is the streams and the environment of a command that a person has typed. All fields are required but Documents.
type Console struct {
	In     io.Reader           // for answers; only an *os.File can be a terminal
	Out    io.Writer           // for results
	Err    io.Writer           // for messages and questions
	Getenv func(string) string // for TERM, NO_COLOR, CLICOLOR and the locale
	// Documents counts what JSON has printed. May be nil.
	Documents *int
}

// Show prints a result to Out, as it is: the caller escapes foreign text.
func (c *Console) Show(text string) { fmt.Fprint(c.Out, text) }

// Escape makes foreign text harmless for a terminal; see [protocol.Escape].
func Escape(s string) string { return protocol.Escape(s) }

// IsTerminal reports whether a stream is a terminal.
func IsTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// Confirm asks a yes-or-no question. Enter alone answers it with enter; otherwise only y and yes, in either case, are a yes.
// The errors are those of Prompt.
func (c *Console) Confirm(ctx context.Context, question string, enter bool) (bool, error) {
	choice := " [y/N] "
	if enter {
		choice = " [Y/n] "
	}
	answer, err := c.Prompt(ctx, question+choice)
	if errors.Is(err, ErrNoTerminal) {
		return false, fmt.Errorf("%w: --yes makes the changes, --dry-run shows them", ErrNoTerminal)
	}
	if err != nil {
		return false, err
	}
	answer = strings.ToLower(answer)
	return answer == "y" || answer == "yes" || answer == "" && enter, nil
}

// Errors of Confirm and Prompt.
var (
	// ErrNoTerminal means that standard input is not a terminal: the command needs a flag instead of an answer.
	ErrNoTerminal = errors.New("standard input is not a terminal, so you cannot be asked")
	// ErrCancelled means that Ctrl-C ended a wait for the user.
	ErrCancelled = errors.New("it was cancelled")
)

// Prompt prints a question to Err and reads one line from In, which must be a terminal: scripts use flags instead. It
// returns the line without blanks around it.
//
// Errors: ErrNoTerminal; that of WhyEnded if ctx ends first; or that there was no answer, at the end of the input.
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
	go func() { // a read of a terminal cannot be cancelled; the process is about to end then
		// A terminal returns one line per read, so nothing of the next answer is lost.
		line, err := bufio.NewReaderSize(c.In, 4096).ReadString('\n')
		read <- result{line, err}
	}()
	select {
	case r := <-read:
		if r.err == nil {
			return strings.TrimSpace(r.line), nil
		}
		fmt.Fprintln(c.Err)
		return "", noAnswer(ctx)
	case <-ctx.Done():
		fmt.Fprintln(c.Err)
		return "", WhyEnded(ctx)
	}
}

// noAnswer returns why a read of the terminal brought no line: the end of the input, or Ctrl-C, at which the console of Windows
// ends a read before the signal comes.
func noAnswer(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return WhyEnded(ctx)
	case <-time.After(100 * time.Millisecond):
		return errors.New("no answer came")
	}
}

// Tell prints messages to Err, one a line, escaped. At a terminal they are folded between words, except those that begin
// with a blank: they are commands to be copied.
func (c *Console) Tell(texts ...string) {
	for _, text := range texts {
		text = protocol.Escape(text)
		if IsTerminal(c.Err) && !strings.HasPrefix(text, " ") {
			text = folded(text, Columns(c.Err))
		}
		fmt.Fprintln(c.Err, text)
	}
}

// Warn prints an error, and a hint if it is not empty, in the form of [protocol.WriteMessage], with Tell.
func (c *Console) Warn(err error, hint string) {
	c.Tell("clerk-credential-helper: " + err.Error())
	if hint != "" {
		c.Tell("hint: " + hint)
	}
}

// WhyEnded returns why ctx ended a wait for the user: ErrCancelled if it was cancelled, otherwise its cause.
func WhyEnded(ctx context.Context) error {
	if errors.Is(context.Cause(ctx), context.Canceled) {
		return ErrCancelled
	}
	return context.Cause(ctx)
}

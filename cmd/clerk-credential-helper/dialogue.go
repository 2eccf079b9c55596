package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"clerk-credential-helper/protocol"
)

// Words with the person who typed a command: a sign-in, which a tool may want, has its own (see screen).

// confirm asks the person who typed the command. Only y and yes are a yes.
func (sys *system) confirm(ctx context.Context, question string) (bool, error) {
	answer, err := sys.prompt(ctx, question+" [y/N] ")
	if errors.Is(err, errNobodyToAsk) {
		return false, &usageError{fmt.Errorf("%w: --yes makes the changes, --dry-run shows them", errNobodyToAsk)}
	}
	if err != nil {
		return false, err
	}
	answer = strings.ToLower(answer)
	return answer == "y" || answer == "yes", nil
}

// errNobodyToAsk says that a question has nobody who could answer it.
var errNobodyToAsk = errors.New("standard input is not a terminal, so nobody can be asked")

// prompt asks for one line on standard input, which must be a terminal: a script has flags for its answers.
func (sys *system) prompt(ctx context.Context, question string) (string, error) {
	if !isTerminal(sys.stdin) {
		return "", errNobodyToAsk
	}
	fmt.Fprint(sys.stderr, question)
	type result struct {
		line string
		err  error
	}
	read := make(chan result, 1)
	go func() { // a terminal cannot be told to stop; the process is about to end then
		// A terminal gives one line to one read, so nothing of the next answer is lost.
		line, err := bufio.NewReaderSize(sys.stdin, 4096).ReadString('\n')
		read <- result{line, err}
	}()
	select {
	case r := <-read:
		if r.err == nil {
			return strings.TrimSpace(r.line), nil
		}
		fmt.Fprintln(sys.stderr)
		return "", errors.New("no answer came")
	case <-ctx.Done():
		fmt.Fprintln(sys.stderr)
		return "", whyEnded(ctx)
	}
}

// tell prints lines for a person. At a terminal no word is broken where the line is; a line that begins with blanks is a
// command to be copied, and stays as it is.
func (sys *system) tell(texts ...string) {
	for _, text := range texts {
		text = protocol.Escape(text)
		if isTerminal(sys.stderr) && !strings.HasPrefix(text, " ") {
			text = folded(text)
		}
		fmt.Fprintln(sys.stderr, text)
	}
}

// warn is protocol.Words, told as tell does.
func (sys *system) warn(err error, hint string) {
	sys.tell("clerk-credential-helper: " + err.Error())
	if hint != "" {
		sys.tell("hint: " + hint)
	}
}

// fold breaks a text between words into lines of a terminal, which begin with first and then with rest. A word is never
// broken: it may be a path.
func fold(first, rest, text string) string {
	var out strings.Builder
	out.WriteString(first)
	width := utf8.RuneCountInString(first)
	for i, word := range strings.Fields(text) {
		n := utf8.RuneCountInString(word)
		switch {
		case i == 0:
		case width+1+n > screenWidth:
			out.WriteString("\n" + rest)
			width = utf8.RuneCountInString(rest)
		default:
			out.WriteByte(' ')
			width++
		}
		out.WriteString(word)
		width += n
	}
	return strings.TrimRight(out.String(), " ")
}

// folded is what fold makes of a paragraph.
func folded(text string) string { return fold("", "  ", text) }

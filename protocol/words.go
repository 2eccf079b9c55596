package protocol

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// WriteMessage writes an error and a hint for people, one line each: "clerk-credential-helper: ERR" and "hint: HINT". Control
// characters in them, escape sequences and marks that turn the direction of writing are escaped. A nil err and an empty
// hint write nothing. A failure to write is ignored: it cannot be reported.
func WriteMessage(w io.Writer, err error, hint string) {
	if err != nil {
		fmt.Fprintf(w, "clerk-credential-helper: %s\n", Escape(err.Error()))
	}
	if hint != "" {
		fmt.Fprintf(w, "hint: %s\n", Escape(hint))
	}
}

// Escape escapes what is not a printable character or a space as a Go string literal would.
func Escape(s string) string {
	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		if r == utf8.RuneError && n == 1 {
			fmt.Fprintf(&b, `\x%02x`, s[0])
		} else if strconv.IsPrint(r) {
			b.WriteRune(r)
		} else {
			quoted := strconv.QuoteRuneToASCII(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		}
		s = s[n:]
	}
	return b.String()
}

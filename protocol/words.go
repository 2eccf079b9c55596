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

// Shown is an address, or a word that may hold one, as people, traces and files may have it: without the user and the
// password in it. Those end at the last "@", also an encoded one, before the path; and behind it where what stands before
// the path is no host and port but the beginning of a password with a slash in it. It is not escaped: write it with %q.
func Shown(address string) string {
	before, rest, ok := strings.Cut(address, "://")
	if ok {
		before += "://"
	} else {
		before, rest = "", address
	}
	end := len(rest)
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		end = i
	}
	cut := userEnd(rest[:end])
	if cut == 0 && (end == 0 || isCut(rest[:end])) {
		cut = userEnd(rest)
	}
	if cut == 0 {
		return address
	}
	return Shown(before + rest[cut:])
}

// userEnd is where the last "@" of s ends, 0 for none.
func userEnd(s string) int {
	end := strings.LastIndex(s, "@") + 1
	if i := strings.LastIndex(s, "%40"); i >= end {
		end = i + len("%40")
	}
	return end
}

// Shown is the host of a request as [Shown] has it. What is no host and port is "...": it can be the beginning of a
// password, whose end a tool has taken for the path.
func (req Request) Shown() string {
	host, _, _ := strings.Cut(Shown(req.Host+"/"+req.Path), "/")
	if isCut(host) {
		return "..."
	}
	return host
}

// isCut reports whether what should be host[:port] can be the beginning of a user and a password.
func isCut(host string) bool {
	name, port, ok := strings.Cut(host, ":")
	return ok && !strings.HasPrefix(name, "[") && (port == "" || strings.Trim(port, "0123456789") != "")
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

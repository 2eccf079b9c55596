package console

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"time"
	"unicode/utf16"
	"unicode/utf8"
)

// Schema is the version of all documents that JSON prints. Members may be added to a document under the same number; none is
// removed, and none changes its meaning. The schemas are in docs/schemas.
const Schema = 1

// States of a whole document, as its member "state" has them, and of a check in it.
const (
	StateOK      = "ok"      // nothing to do
	StateWarning = "warning" // tools work, or it was configured so; a person should know
	StateFailed  = "failed"
	StateSkipped = "skipped" // of a check only: there was nothing to check
)

// JSON prints a value as one document to Out, indented by two blanks. The value's JSON form must be an object; the member
// "schema" is put before its own. Times in it should be those of Seconds. Characters that are not printable are escaped, as \u
// and four digits, because a terminal may show the text.
func (c *Console) JSON(v any) error {
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return err
	}
	members, isObject := bytes.CutPrefix(text.Bytes(), []byte("{"))
	if !isObject {
		return fmt.Errorf("a %T is no JSON object", v)
	}
	separator := ","
	if bytes.HasPrefix(members, []byte("}")) {
		separator = "\n"
	}
	document := append(fmt.Appendf(nil, "{\n  \"schema\": %d%s", Schema, separator), members...)
	if c.Documents != nil {
		*c.Documents++
	}
	_, err := c.Out.Write(escapeJSON(document))
	return err
}

// Failure is the document of a command that has no other to print, because it has failed.
type Failure struct {
	State string       `json:"state"` // StateFailed
	Error FailureError `json:"error"`
}

// FailureError is what the user reads on standard error, and the exit status.
type FailureError struct {
	Message    string `json:"message"`
	Hint       string `json:"hint,omitempty"` // what helps, with the command for it
	ExitStatus int    `json:"exit_status"`
}

// Seconds returns a time as documents have it: in UTC, without the parts of a second. The zero time stays zero.
func Seconds(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC().Truncate(time.Second)
}

// escapeJSON escapes what is not printable in a JSON text. It stands in strings only, but for the ends of lines.
func escapeJSON(text []byte) []byte {
	if !bytes.ContainsFunc(text, unprintable) {
		return text
	}
	var escaped []byte
	for _, r := range string(text) {
		if !unprintable(r) {
			escaped = utf8.AppendRune(escaped, r)
			continue
		}
		for _, unit := range utf16.AppendRune(nil, r) { // RFC 8259 §7
			escaped = fmt.Appendf(escaped, `\u%04x`, unit)
		}
	}
	return escaped
}

func unprintable(r rune) bool { return r != '\n' && !strconv.IsPrint(r) }

package protocol

import (
	"bytes"
	"fmt"
)

// ByteOrderMarkError means that a request begins with a byte order mark (Unicode 16.0, section 23.8), as Windows PowerShell
// writes one into a pipe. No wire has it, and a reader that ignores unknown names would find nothing behind it.
type ByteOrderMarkError struct {
	// Encoding is what the mark stands for: "UTF-8", "UTF-16" or "UTF-32".
	Encoding string
}

func (e *ByteOrderMarkError) Error() string {
	return fmt.Sprintf("the request on standard input begins with a byte order mark of %s", e.Encoding)
}

// checkStart returns a [*ByteOrderMarkError] if an input begins with such a mark. The longer marks come first, since that of
// UTF-32 in little-endian order begins with that of UTF-16.
func checkStart(input []byte) error {
	for _, row := range []struct{ mark, encoding string }{
		{"\xff\xfe\x00\x00", "UTF-32"}, {"\x00\x00\xfe\xff", "UTF-32"},
		{"\xef\xbb\xbf", "UTF-8"}, {"\xff\xfe", "UTF-16"}, {"\xfe\xff", "UTF-16"},
	} {
		if bytes.HasPrefix(input, []byte(row.mark)) {
			return &ByteOrderMarkError{Encoding: row.encoding}
		}
	}
	return nil
}

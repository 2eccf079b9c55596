package protocol

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"
	"unicode/utf16"
)

// TestByteOrderMark: on each wire that reads anything, a mark before a good request is named, and nothing is answered. The
// error never shows what comes behind the mark, which may be a secret.
func TestByteOrderMark(t *testing.T) {
	wires := []struct {
		name, in string
		wire     func() Wire
		verb     Verb
	}{
		{"git get", "protocol=https\nhost=h\n", func() Wire { return Git{} }, Get},
		{"git store", "protocol=https\nhost=h\nusername=u\npassword=hunter2\n", func() Wire { return Git{} }, Store},
		{"git erase", "protocol=https\nhost=h\nusername=u\npassword=hunter2\n", func() Wire { return Git{} }, Erase},
		{"docker get", "registry.acme.dev", func() Wire { return Docker{} }, Get},
		{"docker erase", "registry.acme.dev", func() Wire { return Docker{} }, Erase},
		{"docker store", `{"ServerURL":"h","Username":"u","Secret":"hunter2"}`, func() Wire { return Docker{} }, Store},
		{"cargo", cargoAsks, func() Wire { return &Cargo{} }, CargoPlugin},
		{"terraform store", `{"token":"hunter2"}`, func() Wire { return Terraform{Host: "h"} }, Store},
		{"bazel", `{"uri":"https://h/x"}`, func() Wire { return Bazel{} }, Get},
		{"goauth", "HTTP/1.1 401 U\n\n", func() Wire { return GOAUTH{URL: "https://h"} }, Get},
	}
	for _, w := range wires {
		if req, err := w.wire().ReadRequest(w.verb, strings.NewReader(w.in)); err != nil || req.Host == "" {
			t.Fatalf("%s: the request itself is no good: %+v, %v", w.name, req, err)
		}
		for encoding, inputs := range map[string][]string{
			"UTF-8":  {"\ufeff" + w.in, "\ufeff" + strings.ReplaceAll(w.in, "\n", "\r\n"), "\ufeff", "\ufeff\r\n"},
			"UTF-16": {testUTF16("\ufeff"+w.in, false), testUTF16("\ufeff"+w.in, true), testUTF16("\ufeff", false), testUTF16("\ufeff\r\n", true)},
			"UTF-32": {"\xff\xfe\x00\x00h\x00\x00\x00", "\x00\x00\xfe\xff\x00\x00\x00h"},
		} {
			for _, in := range inputs {
				req, err := w.wire().ReadRequest(w.verb, strings.NewReader(in))
				mark, ok := errors.AsType[*ByteOrderMarkError](err)
				if !ok || mark.Encoding != encoding || !strings.Contains(err.Error(), "the request on standard input begins with a byte order mark of "+encoding) {
					t.Errorf("%s: %q: %+v, %v; want the mark of %s", w.name, in, req, err, encoding)
				}
				if req.Host != "" || req.Secret != "" || strings.Contains(err.Error(), "hunter2") {
					t.Errorf("%s: %q: %+v came with the error %v", w.name, in, req, err)
				}
			}
		}
		for _, in := range []string{w.in[:1] + "\ufeff" + w.in[1:], "\xef\xbb" + w.in, "\xbb\xbf" + w.in, "\xff" + w.in, "\xfe" + w.in} {
			if _, err := w.wire().ReadRequest(w.verb, strings.NewReader(in)); reflect.TypeOf(err) == reflect.TypeOf(&ByteOrderMarkError{}) {
				t.Errorf("%s: %q begins with no mark: %v", w.name, in, err)
			}
		}
	}
}

// testUTF16 encodes a text in UTF-16.
func testUTF16(text string, bigEndian bool) string {
	var out bytes.Buffer
	for _, unit := range utf16.Encode([]rune(text)) {
		if low, high := byte(unit), byte(unit>>8); bigEndian {
			out.Write([]byte{high, low})
		} else {
			out.Write([]byte{low, high})
		}
	}
	return out.String()
}

package protocol

import (
	"bufio"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestSniff(t *testing.T) {
	for _, tt := range []struct{ why, in, want string }{
		{"git's usual first line", "protocol=https\nhost=h\n", "git"},
		{"git 2.46's first line", "capability[]=authtype\n", "git"},
		{"git credential fill with a url", "url=https://h/\n", "git"},
		{"a key of the future", "a_new_key=\n", "git"},
		{"no newline yet", "a=", "git"},
		{"a bad request is still git's, and refused there", "host=\r\x00", "git"},

		{"a host", "registry.acme.dev", "docker"},
		{"a host of one word", "localhost", "docker"},
		{"a host and a port", "localhost:5000", "docker"},
		{"a URL", "https://index.docker.io/v1/", "docker"},
		{"a URL with =", "https://host/?a=b", "docker"},
		{"a repository with =", "host/?a=b", "docker"},
		{"store's JSON", `{"ServerURL":"h=b"}`, "docker"},
		{"IPv6", "[::1]:5000", "docker"},
		{"upper case is no key of git", "Protocol=https\n", "docker"},
		{"a digit is in no key of git", "a1=b\n", "docker"},
		{"a space before", " protocol=https\n", "docker"},
		{"an empty key", "=x", "docker"},
		{"an empty line", "\nprotocol=https\n", "docker"},
		{"brackets without a key", "[]=x", "docker"},
		{"one bracket", "key[=x", "docker"},
		{"the other bracket", "key]=x", "docker"},
		{"something in the brackets", "key[a]=x", "docker"},
		{"something behind the brackets", "key[]a=x", "docker"},
		{"brackets twice", "key[][]=x", "docker"},
		{"a key longer than any", strings.Repeat("a", 64) + "=x", "docker"},
		{"one long word", strings.Repeat("a", 100000), "docker"},
		{"the second line does not count", "h\nprotocol=https\n", "docker"},
		{"control bytes", "\x00\x1b", "docker"},
	} {
		for _, verb := range []Verb{Get, Store, Erase} {
			for name, r := range map[string]io.Reader{
				"at once":                strings.NewReader(tt.in),
				"byte by byte":           iotest.OneByteReader(strings.NewReader(tt.in)),
				"with the end beside it": iotest.DataErrReader(strings.NewReader(tt.in)),
			} {
				br := bufio.NewReader(r)
				got, err := Sniff(verb, br)
				if got != tt.want || err != nil {
					t.Errorf("%s: %s %s: got %q, %v; want %q", tt.why, verb, name, got, err, tt.want)
				}
				if rest, err := io.ReadAll(br); string(rest) != tt.in || err != nil {
					t.Errorf("%s: %s %s: it consumed input: %.40q left, %v", tt.why, verb, name, rest, err)
				}
			}
		}
	}
}

// TestSniffReadsNoFurther gives it a pipe that stays open after the deciding byte, as a tool's may.
func TestSniffReadsNoFurther(t *testing.T) {
	for in, want := range map[string]string{"a=": "git", "key[]=": "git", "h.": "docker", "{": "docker", "\n": "docker", strings.Repeat("a", 64): "docker"} {
		r, w := io.Pipe()
		go w.Write([]byte(in))
		got, err := Sniff(Get, bufio.NewReader(iotest.OneByteReader(r)))
		if got != want || err != nil {
			t.Errorf("%q: got %q, %v; want %q", in, got, err, want)
		}
	}
}

func TestSniffByVerb(t *testing.T) {
	for verb, want := range map[Verb]string{Capability: "git", List: "docker", Version: "docker"} {
		if got, err := Sniff(verb, bufio.NewReader(unreadable{t})); got != want || err != nil {
			t.Errorf("%s: got %q, %v; want %q", verb, got, err, want)
		}
	}
	for _, verb := range []Verb{"", "future", "GET"} {
		if got, err := Sniff(verb, bufio.NewReader(unreadable{t})); got != "" || err == nil {
			t.Errorf("%q: got %q, %v; want an error", verb, got, err)
		}
	}
}

func TestSniffErrors(t *testing.T) {
	got, err := Sniff(Get, bufio.NewReader(strings.NewReader("")))
	if want := "nothing on standard input: want git's key=value lines or docker's server URL"; got != "" || err == nil || err.Error() != want {
		t.Errorf("no input: got %q, %v; want %s", got, err, want)
	}
	broken := errors.New("broken")
	got, err = Sniff(Get, bufio.NewReader(io.MultiReader(strings.NewReader("proto"), iotest.ErrReader(broken))))
	if got != "" || !errors.Is(err, broken) {
		t.Errorf("got %q, %v; want the reader's error", got, err)
	}
}

func FuzzSniff(f *testing.F) {
	f.Add("protocol=https\n")
	f.Add("https://host/?a=b")
	f.Add("wwwauth[]=Basic")
	f.Fuzz(func(t *testing.T, in string) {
		br := bufio.NewReader(iotest.OneByteReader(strings.NewReader(in)))
		got, err := Sniff(Get, br)
		if rest, err := io.ReadAll(br); string(rest) != in || err != nil {
			t.Fatalf("%q: it consumed input: %q left, %v", in, rest, err)
		}
		if (in == "") != (err != nil) {
			t.Fatalf("%q: %v", in, err)
		}
		key, _, ok := strings.Cut(in, "=")
		name := strings.TrimSuffix(key, "[]")
		git := ok && name != "" && len(key) < sniffMax && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz_") == ""
		if (got == "git") != git {
			t.Fatalf("%q is %s", in, got)
		}
	})
}

package console

import (
	"slices"
	"testing"

	"github.com/alecthomas/kong"
)

func TestComplete(t *testing.T) {
	parser, err := kong.New(&struct {
		Token struct {
			Format  string `enum:"json,bare," default:""`
			Force   bool
			Hidden  bool   `hidden:""`
			Profile string `arg:"" optional:""`
			Rest    string `arg:"" optional:""`
		} `cmd:""`
		Trace  struct{} `cmd:""`
		Secret struct{} `cmd:"" hidden:""`
	}{})
	if err != nil {
		t.Fatal(err)
	}
	values := func(name string) []string {
		return map[string][]string{"profile": {"acme", "bare"}, "format": {"jwt"}}[name]
	}
	for _, row := range []struct {
		reason      string
		words, want []string
	}{
		{"no word is there yet: the commands that are not hidden", nil, []string{"token", "trace"}},
		{"the beginning of a command", []string{"to"}, []string{"token"}},
		{"an argument has values", []string{"token", ""}, []string{"acme", "bare"}},
		{"a switch takes no value", []string{"token", "--force", "a"}, []string{"acme"}},
		{"the words of a flag without the empty one, then its values", []string{"token", "--format", ""}, []string{"json", "bare", "jwt"}},
		{"the flag has its value already", []string{"token", "--format", "json", "a"}, []string{"acme"}},
		{"the flag has its value in the same word", []string{"token", "--format=json", "a"}, []string{"acme"}},
		{"flags of the command and of all commands", []string{"token", "--f"}, []string{"--format", "--force"}},

		{"a hidden command", []string{"s"}, nil},
		{"a hidden flag", []string{"token", "--hid"}, nil},
		{"a command that there is not", []string{"frobnicate", ""}, nil},
		{"an argument without values", []string{"token", "acme", ""}, nil},
		{"one argument too many", []string{"token", "acme", "x", ""}, nil},
		{"after --, which begins another program's words", []string{"token", "--", ""}, nil},
	} {
		if got := Complete(parser.Model, row.words, values); !slices.Equal(got, row.want) {
			t.Errorf("%s: %q completes to %q, not %q", row.reason, row.words, got, row.want)
		}
	}
}

func TestCompletionScript(t *testing.T) {
	for shell, want := range map[string]bool{"bash": true, "zsh": true, "fish": true, "powershell": true, "tcsh": false, "../console.go": false} {
		if script, err := CompletionScript(shell); (err == nil && len(script) > 0) != want {
			t.Errorf("%q: %d bytes, %v", shell, len(script), err)
		}
	}
}

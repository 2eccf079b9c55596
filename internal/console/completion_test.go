package console

import (
	"slices"
	"strings"
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
		} `cmd:"" help:"Print a token."`
		Trace  struct{} `cmd:""`
		Secret struct{} `cmd:"" hidden:""`
		Netrc  struct {
			URL string `arg:"" optional:""`
		} `cmd:"" group:"For tools:"`
		Page struct {
			Add struct {
				Dir string `arg:"" complete:"folders"`
			} `cmd:""`
			Check struct{} `cmd:""`
		} `cmd:""`
		Exec struct {
			Env     string
			Keep    bool
			Command []string `arg:"" passthrough:"" complete:"command"`
		} `cmd:""`
	}{})
	if err != nil {
		t.Fatal(err)
	}
	values := func(name string) []Candidate {
		return map[string][]Candidate{"profile": {{"acme", "at acme.dev"}, {"bare", ""}}, "format": {{"jwt", ""}}, "url": {{"git.acme.dev:5000", ""}}}[name]
	}
	for _, row := range []struct {
		reason      string
		words, want []string
	}{
		{"no word is there yet: the commands that are not hidden", nil, []string{"token", "trace", "page", "exec"}},
		{"the beginning of a command", []string{"to"}, []string{"token"}},
		{"an argument has values", []string{"token", ""}, []string{"acme", "bare"}},
		{"a switch takes no value", []string{"token", "--force", "a"}, []string{"acme"}},
		{"the words of a flag without the empty one, then its values", []string{"token", "--format", ""}, []string{"json", "bare", "jwt"}},
		{"the flag has its value already", []string{"token", "--format", "json", "a"}, []string{"acme"}},
		{"the flag has its value in the same word", []string{"token", "--format=json", "a"}, []string{"acme"}},
		{"flags of the command and of all commands", []string{"token", "--f"}, []string{"--format", "--force"}},

		{"the commands below a command", []string{"page", ""}, []string{"add", "check"}},
		{"the beginning of one of them", []string{"page", "c"}, []string{"check"}},
		{"a folder", []string{"page", "add", ""}, []string{":folders"}},
		{"the commands that help is about", []string{"help", "t"}, []string{"token", "trace"}},
		{"and those below them", []string{"help", "page", ""}, []string{"add", "check"}},
		{"all of them", []string{"help", "-"}, []string{"--all"}},
		{"a value in the word of its flag", []string{"token", "--format=j"}, []string{"--format=json", "--format=jwt"}},
		{"a command for tools, once it is typed", []string{"netrc", "git"}, []string{"git.acme.dev:5000"}},
		{"another program, after --", []string{"exec", "--env", "X", "--", "ma"}, []string{":command 4"}},
		{"its arguments", []string{"exec", "--env=X", "--", "make", "-j", ""}, []string{":command 3"}},
		{"another program, without --", []string{"exec", "--keep", "ma"}, []string{":command 2"}},
		{"its flags", []string{"exec", "make", "--e"}, []string{":command 1"}},
		{"flags before it", []string{"exec", "--e"}, []string{"--env"}},
		{"what a word means", []string{"token", "ac"}, []string{"acme at acme.dev"}},
		{"what a command does", []string{"to"}, []string{"token Print a token"}},

		{"a command for tools", []string{"n"}, nil},
		{"the argument of what help is about", []string{"help", "token", ""}, nil},
		{"a command below another that there is not", []string{"page", "x", ""}, nil},
		{"a value of a switch", []string{"token", "--force="}, nil},
		{"a hidden command", []string{"s"}, nil},
		{"a hidden flag", []string{"token", "--hid"}, nil},
		{"a command that there is not", []string{"frobnicate", ""}, nil},
		{"an argument without values", []string{"token", "acme", ""}, nil},
		{"one argument too many", []string{"token", "acme", "x", ""}, nil},
		{"after --, which begins another program's words", []string{"token", "--", ""}, nil},
	} {
		lines := strings.FieldsFunc(Complete(parser.Model, row.words, values).Lines(), func(r rune) bool { return r == '\n' })
		same := func(line, want string) bool {
			word, _, _ := strings.Cut(line, "\t")
			return word == want || strings.ReplaceAll(line, "\t", " ") == want
		}
		if !slices.EqualFunc(lines, row.want, same) {
			t.Errorf("%s: %q completes to %q, not %q", row.reason, row.words, lines, row.want)
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

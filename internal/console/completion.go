package console

import (
	"embed"
	"slices"
	"strconv"
	"strings"

	"github.com/alecthomas/kong"
)

// completions are the scripts of the shells, each in a file of its name.
//
//go:embed completion
var completions embed.FS

// CompletionScript returns the script with which a shell asks this program for the next word. The shell is "bash", "zsh",
// "fish" or "powershell"; for another one the error is [io/fs.ErrNotExist]. The words come from the grammar and the
// configuration, so that the script never gets out of date.
func CompletionScript(shell string) ([]byte, error) {
	return completions.ReadFile("completion/" + shell)
}

// Candidate is a word that could stand on a command line, and what it means, which may be empty.
type Candidate struct{ Word, Help string }

// What a shell completes by itself. In a field's tag, as complete:"folders", and after a colon in a line of [Completion].
const (
	folders = "folders"
	command = "command"
)

// Completion is what could stand in place of the last word of a command line.
type Completion struct {
	Candidates []Candidate
	Folders    bool // the name of a folder
	// Command is where another program's command line begins among the words; 0 if none does.
	Command int
}

// Complete returns what could stand in place of the last of words, which is not complete; without words, what could be the
// first. Commands that tools call are left out. The words come from the grammar and, for an argument or the value of a flag,
// also from values, which is given the name of the argument or the flag.
func Complete(app *kong.Application, words []string, values func(name string) []Candidate) Completion {
	if len(words) == 0 {
		words = []string{""}
	}
	begin := 0
	if words[0] == "help" && len(words) > 1 {
		begin = 1
	}
	last := words[len(words)-1]
	all := candidates(app.Node, words, begin, values)
	all.Candidates = slices.DeleteFunc(all.Candidates, func(c Candidate) bool { return !strings.HasPrefix(c.Word, last) })
	return all
}

// Lines returns a completion as the scripts of the shells read it: a word a line, with a tab before what it means; or
// ":folders"; or ":command", a tab and where it begins.
func (c Completion) Lines() string {
	var out strings.Builder
	for _, word := range c.Candidates {
		out.WriteString(Escape(word.Word))
		if word.Help != "" {
			out.WriteString("\t" + Escape(word.Help))
		}
		out.WriteByte('\n')
	}
	switch {
	case c.Folders:
		out.WriteString(":" + folders + "\n")
	case c.Command > 0:
		out.WriteString(":" + command + "\t" + strconv.Itoa(c.Command) + "\n")
	}
	return out.String()
}

// candidates are all words that could stand in the last one's place.
func candidates(grammar *kong.Node, words []string, begin int, values func(name string) []Candidate) Completion {
	node, positional := grammar, 0
	var pending *kong.Value // the flag whose value comes next
	for i, word := range words[begin : len(words)-1] {
		at := begin + i
		switch {
		case pending != nil:
			pending = nil
		case word == "--":
			if takes(node, 0, command) {
				return Completion{Command: at + 1}
			}
			return Completion{}
		case strings.HasPrefix(word, "-"):
			name, _, given := strings.Cut(strings.TrimLeft(word, "-"), "=")
			if f := flagNamed(node, name); f != nil && !f.IsBool() && !given {
				pending = f.Value
			}
		case len(node.Children) > 0:
			child := slices.IndexFunc(node.Children, func(child *kong.Node) bool { return child.Name == word })
			if child < 0 {
				return Completion{}
			}
			node = node.Children[child]
		case takes(node, positional, command):
			return Completion{Command: at}
		default:
			positional++
		}
	}
	last := words[len(words)-1]
	name, _, given := strings.Cut(last, "=")
	switch {
	case pending != nil:
		return Completion{Candidates: valueWords(pending, values)}
	case strings.HasPrefix(last, "--") && given:
		var all []Candidate
		if f := flagNamed(node, name[2:]); f != nil && !f.IsBool() {
			for _, c := range valueWords(f.Value, values) {
				all = append(all, Candidate{name + "=" + c.Word, c.Help})
			}
		}
		return Completion{Candidates: all}
	case strings.HasPrefix(last, "-"):
		return Completion{Candidates: flagWords(grammar, node, begin == 1)}
	case len(node.Children) > 0:
		return Completion{Candidates: commandWords(node)}
	case takes(node, positional, command):
		return Completion{Command: len(words) - 1}
	case takes(node, positional, folders):
		return Completion{Folders: true}
	case positional < len(node.Positional) && begin == 0:
		return Completion{Candidates: valueWords(node.Positional[positional], values)}
	}
	return Completion{}
}

// takes reports whether an argument of a command is completed by the shell in that way.
func takes(node *kong.Node, positional int, way string) bool {
	return positional < len(node.Positional) && node.Positional[positional].Tag.Get("complete") == way
}

func flagNamed(node *kong.Node, name string) *kong.Flag {
	if i := slices.IndexFunc(node.Flags, func(f *kong.Flag) bool { return f.Name == name }); i >= 0 {
		return node.Flags[i]
	}
	return nil
}

// commandWords are the commands for people below a node.
func commandWords(node *kong.Node) []Candidate {
	var all []Candidate
	for _, child := range node.Children {
		if !child.Hidden && child.Group == nil {
			all = append(all, Candidate{child.Name, brief(child.Help)})
		}
	}
	return all
}

// flagWords are the flags of a command and those of all; behind help, the only one that belongs there.
func flagWords(grammar, node *kong.Node, help bool) []Candidate {
	if help {
		return []Candidate{{"--all", "every command"}}
	}
	flags := slices.Clone(node.Flags)
	if node != grammar {
		flags = append(flags, grammar.Flags...)
	}
	var all []Candidate
	for _, f := range flags {
		if !f.Hidden {
			all = append(all, Candidate{"--" + f.Name, brief(f.Help)})
		}
	}
	return all
}

// valueWords are what a flag or an argument takes.
func valueWords(v *kong.Value, values func(name string) []Candidate) []Candidate {
	var all []Candidate
	for _, word := range enumWords(v) {
		all = append(all, Candidate{Word: word})
	}
	return append(all, values(v.Name)...)
}

// brief is a help text as it stands behind a word.
func brief(help string) string { return strings.TrimSuffix(help, ".") }

// enumWords are the words that a flag or an argument takes, none if it takes any.
func enumWords(v *kong.Value) []string {
	return slices.DeleteFunc(v.EnumSlice(), func(word string) bool { return word == "" })
}

package console

import (
	"embed"
	"slices"
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

// Complete returns the words that could stand in place of the last of words, which is not complete; without words, those
// that could be the first. They come from the grammar and, for an argument or the value of a flag, also from values, which is
// given the name of the argument or the flag.
func Complete(app *kong.Application, words []string, values func(name string) []string) []string {
	if len(words) == 0 {
		words = []string{""}
	}
	last := words[len(words)-1]
	return slices.DeleteFunc(candidates(app.Node, words, values), func(word string) bool { return !strings.HasPrefix(word, last) })
}

// candidates are all words that could stand in the last one's place.
func candidates(grammar *kong.Node, words []string, values func(name string) []string) []string {
	node := grammar
	var positional int
	var pending *kong.Value // the flag whose value comes next
	for _, word := range words[:len(words)-1] {
		switch {
		case pending != nil:
			pending = nil
		case word == "--":
			return nil
		case strings.HasPrefix(word, "-"):
			name, _, given := strings.Cut(strings.TrimLeft(word, "-"), "=")
			for _, f := range node.Flags {
				if f.Name == name && !f.IsBool() && !given {
					pending = f.Value
				}
			}
		case node == grammar:
			for _, child := range grammar.Children {
				if child.Name == word {
					node = child
				}
			}
			if node == grammar {
				return nil
			}
		default:
			positional++
		}
	}
	var all []string
	switch {
	case pending != nil:
		return append(enumWords(pending), values(pending.Name)...)
	case strings.HasPrefix(words[len(words)-1], "-"):
		for _, f := range append(node.Flags, grammar.Flags...) {
			if !f.Hidden {
				all = append(all, "--"+f.Name)
			}
		}
	case node == grammar:
		for _, child := range grammar.Children {
			if !child.Hidden {
				all = append(all, child.Name)
			}
		}
	case positional < len(node.Positional):
		value := node.Positional[positional]
		return append(enumWords(value), values(value.Name)...)
	}
	return all
}

// enumWords are the words that a flag or an argument takes, none if it takes any.
func enumWords(v *kong.Value) []string {
	return slices.DeleteFunc(v.EnumSlice(), func(word string) bool { return word == "" })
}

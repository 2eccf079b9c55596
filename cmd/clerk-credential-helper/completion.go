package main

import (
	"embed"
	"fmt"
	"strings"

	"github.com/alecthomas/kong"
)

type completionCommand struct {
	Shell string `arg:"" enum:"bash,zsh,fish,powershell" help:"bash, zsh, fish or powershell."`
}

// completions are the scripts of the shells, each in a file of its name.
//
//go:embed completion
var completions embed.FS

// Run prints a script with which the shell asks us for the next word. The words come from the grammar
// and the configuration, so that the script never gets out of date.
func (c completionCommand) Run(sys *system) error {
	script, err := completions.ReadFile("completion/" + c.Shell)
	if err != nil {
		return err
	}
	_, err = sys.stdout.Write(script)
	return err
}

// completeCommand answers a shell. It never fails, and reads only the configuration.
type completeCommand struct {
	Next  bool     `help:"A further word begins."`
	Words []string `arg:"" optional:"" passthrough:"" help:"The words so far; the last one is not complete."`
}

func (c completeCommand) Run(k *kong.Context, sys *system) error {
	words := c.Words
	if len(words) > 0 && words[0] == "--" {
		words = words[1:]
	}
	if c.Next || len(words) == 0 {
		words = append(words, "")
	}
	last := words[len(words)-1]
	for _, word := range candidates(sys, k.Model.Node, words) {
		if strings.HasPrefix(word, last) {
			fmt.Fprintln(sys.stdout, word)
		}
	}
	return nil
}

// candidates are all words that could stand in the last one's place.
func candidates(sys *system, grammar *kong.Node, words []string) []string {
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
		return values(sys, pending)
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
		return values(sys, node.Positional[positional])
	}
	return all
}

// values are what a flag or an argument could be.
func values(sys *system, v *kong.Value) []string {
	var all []string
	for _, word := range v.EnumSlice() {
		if word != "" {
			all = append(all, word)
		}
	}
	profiles := strings.Contains(v.Name, "profile")
	hosts := strings.Contains(v.Name, "url") || v.Name == "host"
	if !profiles && !hosts {
		return all
	}
	cfg, err := sys.config()
	if err != nil {
		return all
	}
	for _, p := range cfg.Profiles {
		if profiles {
			all = append(all, p.Name)
		}
		for _, h := range p.Hosts {
			if hosts && (h.Exact() || v.Name == "host") {
				all = append(all, h.String())
			}
		}
	}
	return all
}

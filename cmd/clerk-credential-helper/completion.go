package main

import (
	"fmt"
	"strings"

	"clerk-credential-helper/internal/console"
	"clerk-credential-helper/protocol"

	"github.com/alecthomas/kong"
)

type completionCommand struct {
	Shell string `arg:"" enum:"bash,zsh,fish,powershell" help:"bash, zsh, fish or powershell."`
}

// Run prints a script with which the shell asks us for the next word.
func (c completionCommand) Run(sys *system) error {
	script, err := console.CompletionScript(c.Shell)
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
	if c.Next {
		words = append(words, "")
	}
	_, err := fmt.Fprint(sys.stdout, console.Complete(k.Model, words, sys.argumentValues).Lines())
	return err
}

// argumentValues returns what the configuration has for an argument or a flag of that name. A pattern is no URL.
func (sys *system) argumentValues(name string) (all []console.Candidate) {
	if name == "for" {
		for _, tool := range protocol.RecipeTools() {
			all = append(all, console.Candidate{Word: tool})
		}
		return all
	}
	profiles, urls, hosts := strings.Contains(name, "profile"), strings.Contains(name, "url"), name == "host"
	if !profiles && !urls && !hosts {
		return nil
	}
	cfg, err := sys.config()
	if err != nil {
		return nil
	}
	for _, p := range cfg.Profiles {
		if profiles {
			all = append(all, console.Candidate{Word: p.Name, Help: "profile, " + p.Issuer})
		}
		for _, h := range p.Hosts {
			if hosts || urls && h.Exact() {
				all = append(all, console.Candidate{Word: h.String(), Help: "host of profile " + p.Name})
			}
		}
	}
	return all
}

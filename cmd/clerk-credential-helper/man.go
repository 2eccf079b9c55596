package main

import (
	"clerk-credential-helper/internal/console"

	"github.com/alecthomas/kong"
)

type manCommand struct{}

// Run prints the manual page, for man -l.
func (manCommand) Run(k *kong.Context, sys *system) error {
	return console.Manual(sys.stdout, k.Model, programVersion())
}

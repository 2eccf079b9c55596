package main

import (
	"clerk-credential-helper/internal/console"

	"github.com/alecthomas/kong"
)

type manCommand struct {
	Page string `arg:"" optional:"" enum:"program,config" default:"program" help:"program, or config for the page of the configuration file."`
}

// Run prints a manual page, for man -l.
func (c manCommand) Run(k *kong.Context, sys *system) error {
	if c.Page == "config" {
		return console.ConfigManual(sys.stdout, programVersion())
	}
	return console.Manual(sys.stdout, k.Model, programVersion())
}

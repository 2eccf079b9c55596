package main

import (
	"errors"
	"fmt"
	"os"

	"clerk-credential-helper/platform"
)

// errForAnother says that files in another person's home would be made as root's.
var errForAnother = errors.New("this runs as root by sudo, and what it writes there would be root's")

// notForAnother refuses to write a file below a folder of the person who called sudo: many systems keep HOME then, and the
// person's own programs could not change, or not even read, what root has made.
func (sys *system) notForAnother(file string) error {
	return notForAnother(sys.getenv, os.Getuid(), platform.OwnedByOther, file)
}

func notForAnother(getenv func(string) string, uid int, ownedByOther func(string) (bool, error), file string) error {
	if caller := getenv("SUDO_UID"); uid != 0 || caller == "" || caller == "0" {
		return nil
	}
	other, err := ownedByOther(file)
	if err != nil {
		return err
	}
	if other {
		return &usageError{fmt.Errorf("%s: %w", file, errForAnother)}
	}
	return nil
}

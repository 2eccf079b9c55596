package toolconfig

import (
	"errors"
	"fmt"
	"os"

	"clerk-credential-helper/platform"
)

// ErrForAnother means that files in another person's home would be made as root's.
var ErrForAnother = errors.New("this runs as root by sudo, and what it writes there would be root's")

// NotForAnother refuses to write a file below a folder of the person who called sudo: many systems keep HOME then, and the
// person's own programs could not change, or not even read, what root has made. The error is a *RequestError.
func NotForAnother(env Env, file string) error {
	return notForAnother(env.Getenv, os.Getuid(), platform.OwnedByOther, file)
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
		return &RequestError{fmt.Errorf("%s: %w", file, ErrForAnother)}
	}
	return nil
}

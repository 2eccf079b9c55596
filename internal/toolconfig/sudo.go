package toolconfig

import (
	"errors"
	"fmt"
	"os"

	"clerk-credential-helper/platform"
)

// ErrForAnother means that root would create files in another user's home.
var ErrForAnother = errors.New("this runs as root by sudo, and what it writes there would be root's")

// NotForAnother refuses, as root through sudo, to write a file below a folder of another user. Many systems keep HOME
// under sudo, and the user's own programs could not change, or even read, a file of root's. The error is a *RequestError
// that wraps ErrForAnother, or what kept the owner from being read.
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

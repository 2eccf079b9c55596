//go:build !(darwin && cgo) && !windows && !linux

package platform

import (
	"context"
	"errors"
	"fmt"
)

func openNative(choice string) (*Keychain, error) {
	if choice == "kernel" {
		return nil, errors.New(`the store "kernel" is there only on Linux`)
	}
	return &Keychain{store: noKeychain{}, describe: "no keychain", lockDir: LockDir}, nil
}

// noKeychain is the store of a system, or a build, that has none.
type noKeychain struct{}

func (n noKeychain) get(context.Context, string) (string, error) { return "", n.err() }
func (n noKeychain) set(context.Context, string, string) error   { return n.err() }
func (n noKeychain) delete(context.Context, string) error        { return n.err() }

func (noKeychain) err() error {
	return fmt.Errorf("%w: this build has none for this system", ErrUnavailable)
}

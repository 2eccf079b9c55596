//go:build !(darwin && cgo) && !windows && !linux

package platform

import (
	"context"
	"fmt"
)

func nativeKeychain() *Keychain {
	return &Keychain{store: noKeychain{}, describe: "no keychain", lockDir: LockDir}
}

// noKeychain is the store of a system, or a build, that has none.
type noKeychain struct{}

func (n noKeychain) get(context.Context, string) (string, error) { return "", n.err() }
func (n noKeychain) set(context.Context, string, string) error   { return n.err() }
func (n noKeychain) delete(context.Context, string) error        { return n.err() }

func (noKeychain) err() error {
	return fmt.Errorf("%w: this build has none for this system", ErrUnavailable)
}

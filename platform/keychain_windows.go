package platform

import (
	"context"
	"errors"
	"fmt"

	"github.com/danieljoos/wincred"
	"golang.org/x/sys/windows"
)

func openNative(choice string) (*Keychain, error) {
	if choice == "kernel" {
		return nil, errors.New(`the store "kernel" is there only on Linux`)
	}
	return &Keychain{store: winKeychain{}, describe: "Windows Credential Manager", lockDir: LockDir}, nil
}

// winKeychain keeps each secret as generic credentials "clerk-credential-helper:NAME" in parts (see parts.go). The
// Credential Manager is open while the person is logged on; there is nothing to unlock and it raises no prompt.
type winKeychain struct{}

func (winKeychain) get(_ context.Context, name string) (string, error) {
	return readParts(winBlobs{}, keychainService+":"+name)
}

func (winKeychain) set(_ context.Context, name, secret string) error {
	return writeParts(winBlobs{}, keychainService+":"+name, secret)
}

func (winKeychain) delete(_ context.Context, name string) error {
	return removeParts(winBlobs{}, keychainService+":"+name)
}

// winBlobs are single credentials. They have no attributes and no user name: only the target finds them.
type winBlobs struct{}

func (winBlobs) read(target string) ([]byte, error) {
	cred, err := wincred.GetGenericCredential(target)
	if err != nil {
		return nil, winError(err)
	}
	return cred.CredentialBlob, nil
}

func (winBlobs) write(target string, blob []byte) error {
	cred := wincred.NewGenericCredential(target)
	cred.CredentialBlob = blob
	cred.Persist = wincred.PersistLocalMachine
	return winError(cred.Write())
}

func (winBlobs) remove(target string) error {
	below, err := wincred.FilteredList(target + "/*")
	if err != nil {
		return winError(err)
	}
	targets := []string{target}
	for _, cred := range below {
		targets = append(targets, cred.TargetName)
	}
	for _, target := range targets {
		err := winError(wincred.NewGenericCredential(target).Delete())
		if err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
	}
	return nil
}

func winError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, wincred.ErrElementNotFound), errors.Is(err, windows.ERROR_KEY_DELETED): // deleted meanwhile, in Wine
		return ErrNotFound
	case errors.Is(err, windows.ERROR_NO_SUCH_LOGON_SESSION): // 1312: the usual answer over SSH and in services
		return fmt.Errorf("%w: %v", ErrLocked, err)
	}
	return fmt.Errorf("credential manager: %w", err)
}

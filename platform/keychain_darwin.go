//go:build cgo

package platform

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/keybase/go-keychain"
)

// The limits of waiting. In a graphical session the system may show a prompt of its own (a locked keychain, a binary
// with a new signature) and says nothing about it.
const (
	macReplyLimit  = 3 * time.Second
	macPromptLimit = 60 * time.Second
)

func openNative(choice string) (*Keychain, error) {
	if choice == "kernel" {
		return nil, errors.New(`the store "kernel" is there only on Linux`)
	}
	return &Keychain{store: macKeychain{}, describe: "macOS keychain", lockDir: LockDir}, nil
}

// macKeychain keeps each secret as a generic password of the login keychain: service "clerk-credential-helper",
// account = the item's name. The system unlocks the keychain by itself, so there is nothing to unlock here.
type macKeychain struct{}

func (macKeychain) get(ctx context.Context, name string) (string, error) {
	return macWait(ctx, func() (string, error) {
		data, err := keychain.GetGenericPassword(keychainService, name, "", "")
		if err != nil {
			return "", err
		}
		if len(data) == 0 {
			return "", ErrNotFound // the library answers nil, nil for a missing item
		}
		return string(data), nil
	})
}

func (macKeychain) set(ctx context.Context, name, secret string) error {
	_, err := macWait(ctx, func() (string, error) {
		// Add, then update in place: deleting first would leave readers without an item for a moment.
		item := keychain.NewGenericPassword(keychainService, name, keychainService, []byte(secret), "")
		err := keychain.AddItem(item)
		if !errors.Is(err, keychain.ErrorDuplicateItem) {
			return "", err
		}
		query := keychain.NewGenericPassword(keychainService, name, "", nil, "")
		change := keychain.NewItem()
		change.SetData([]byte(secret))
		return "", keychain.UpdateItem(query, change)
	})
	return err
}

func (macKeychain) delete(ctx context.Context, name string) error {
	_, err := macWait(ctx, func() (string, error) {
		return "", keychain.DeleteGenericPasswordItem(keychainService, name)
	})
	return err
}

// macWait runs one call of the Security framework, which knows no context. A call that exceeds its limit is abandoned:
// it waits in the system for a user who is not there, and ends with the process.
func macWait(ctx context.Context, call func() (string, error)) (string, error) {
	limit := macReplyLimit
	if Graphical(os.Getenv) {
		limit = macPromptLimit
	}
	type answer struct {
		secret string
		err    error
	}
	done := make(chan answer, 1)
	go func() {
		secret, err := call()
		done <- answer{secret, err}
	}()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case a := <-done:
		return a.secret, macError(a.err)
	case <-ctx.Done():
		return "", ctx.Err()
	case <-timer.C:
		return "", fmt.Errorf("%w: no answer from the macOS keychain in %v", ErrLocked, limit)
	}
}

func macError(err error) error {
	switch {
	case err == nil, errors.Is(err, ErrNotFound):
		return err
	case errors.Is(err, keychain.ErrorItemNotFound):
		return ErrNotFound
	case errors.Is(err, keychain.ErrorInteractionNotAllowed), // -25308: the usual answer over SSH
		errors.Is(err, keychain.ErrorUserCanceled),
		errors.Is(err, keychain.ErrorAuthFailed):
		return fmt.Errorf("%w: %v", ErrLocked, err)
	case errors.Is(err, keychain.ErrorNotAvailable), errors.Is(err, keychain.ErrorNoSuchKeychain):
		return fmt.Errorf("%w: %v", ErrUnavailable, err)
	}
	return fmt.Errorf("macOS keychain: %w", err)
}

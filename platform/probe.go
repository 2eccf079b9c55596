package platform

import (
	"context"
	"errors"
	"fmt"
)

// Probe checks that a keychain stores, returns and deletes an item of that name, and leaves nothing, whatever fails. The error
// says which of them it does not do. A service that would ask the person before it deletes is not given the item: then whole is
// false.
func Probe(ctx context.Context, k interface {
	Get(ctx context.Context, name string) (string, error)
	Set(ctx context.Context, name, secret string) error
	Delete(ctx context.Context, name string) error
}, name, secret string) (whole bool, err error) {
	if k, ok := k.(*Keychain); ok && k.probe != nil {
		return k.probe(ctx, name, secret)
	}
	if err := k.Set(ctx, name, secret); err != nil {
		return true, fmt.Errorf("%w: %w", ErrNotStored, err)
	}
	got, err := k.Get(ctx, name)
	if err == nil && got != secret {
		err = errOtherValue
	}
	if err != nil {
		k.Delete(context.WithoutCancel(ctx), name)
		return true, fmt.Errorf("it does not return what was stored: %w", err)
	}
	if err := k.Delete(ctx, name); err != nil {
		return true, fmt.Errorf("it deletes nothing: %w", err)
	}
	return true, nil
}

// ErrNotStored means that a keychain stores nothing.
var ErrNotStored = errors.New("it stores nothing")

var errOtherValue = errors.New("it is a different value")

package config

import "errors"

// ErrNone means that no source names a profile.
var ErrNone = errors.New("no profile is configured")

// Error marks what a person has to correct in a configuration file or in the environment.
type Error struct{ Err error }

func (e *Error) Error() string { return e.Err.Error() }

func (e *Error) Unwrap() error { return e.Err }

// NoHomeError is ErrNone where there is no place for a configuration either.
type NoHomeError struct{ Err error }

func (e *NoHomeError) Error() string { return ErrNone.Error() + ": " + e.Err.Error() }

func (e *NoHomeError) Unwrap() error { return ErrNone }

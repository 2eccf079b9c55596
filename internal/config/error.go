package config

import "errors"

// ErrNone means that no source names a profile.
var ErrNone = errors.New("no profile is configured")

// Error is an error in a configuration file, ours or a tool's, or in the environment, which the user has to correct.
type Error struct{ Err error }

func (e *Error) Error() string { return e.Err.Error() }

func (e *Error) Unwrap() error { return e.Err }

// NoHomeError is ErrNone if there is no home folder either, so that a configuration could not be written. Err is why.
type NoHomeError struct{ Err error }

func (e *NoHomeError) Error() string { return ErrNone.Error() + ": " + e.Err.Error() }

func (e *NoHomeError) Unwrap() error { return ErrNone }

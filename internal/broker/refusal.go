package broker

import (
	"context"
	"errors"
	"fmt"

	"clerk-credential-helper/internal/clerk"
	"clerk-credential-helper/internal/config"
)

// RefusalError is a refusal by the issuer, as a record keeps it for other processes: without any foreign text.
type RefusalError struct {
	// Code is an error of RFC 6749 §4.1.2.1 or §5.2 or of RFC 8707 §2, or host_invalid of Clerk's own form. It is "other"
	// for one that is not in [reasons], and empty for an answer without an error.
	Code   string
	Status int // of HTTP; 0 if the refusal came through the browser
}

// otherCode stands for an error that is not in the list.
const otherCode = "other"

// reasons returns what the errors mean that a record may hold.
func reasons() map[string]string {
	return map[string]string{
		"invalid_scope":           "the issuer refuses a scope of the profile",
		"invalid_client":          "the issuer does not accept the client id of the profile",
		"unauthorized_client":     "the issuer does not allow this to the client of the profile",
		"unsupported_grant_type":  "the issuer does not offer this grant",
		"invalid_request":         "the issuer calls the request invalid",
		"invalid_target":          "the issuer refuses the resource",
		"invalid_grant":           "the issuer calls the grant invalid",
		"server_error":            "the issuer has an error of its own",
		"temporarily_unavailable": "the issuer is not available for now",
		"host_invalid":            "Clerk knows no such issuer",
		otherCode:                 "the issuer refuses, with an error that this release does not know",
	}
}

func (e *RefusalError) Error() string {
	switch why := reasons()[e.Code]; {
	case why != "" && e.Code != otherCode:
		return fmt.Sprintf("%s (%s)", why, e.Code)
	case why != "" && e.Status != 0:
		return fmt.Sprintf("%s (status %d)", why, e.Status)
	case why != "":
		return why
	case e.Status != 0:
		return fmt.Sprintf("the issuer answered with status %d", e.Status)
	}
	return "the issuer refused the sign-in"
}

// Lasting reports whether the issuer will answer so until the profile or the OAuth application is changed.
func (e *RefusalError) Lasting() bool {
	switch e.Code {
	case "", "server_error", "temporarily_unavailable":
		return false
	}
	return e.Status < 500 && e.Status != 429 // of a server's own error, and too many requests (RFC 6585 §4)
}

// Refusal returns the refusal in an error of this package or of internal/clerk, nil if there is none.
func Refusal(err error) *RefusalError {
	if kept, ok := errors.AsType[*RefusalError](err); ok {
		return kept
	}
	answer, ok := errors.AsType[*clerk.ResponseError](err)
	if !ok {
		return nil
	}
	e := &RefusalError{Status: answer.Status}
	switch _, listed := reasons()[answer.Code]; {
	case answer.Code == "host_invalid", answer.OAuth && listed:
		e.Code = answer.Code
	case answer.OAuth:
		e.Code = otherCode
	}
	return e
}

// CannotRefresh reports whether an error of a refresh means that no further one helps: the profile or the OAuth application
// must be changed first, or the user must sign in.
func CannotRefresh(err error) bool {
	refused := Refusal(err)
	return refused != nil && refused.Lasting() || errors.Is(err, clerk.ErrNoIDToken) || errors.Is(err, clerk.ErrGrantEnded)
}

// LastRefresh returns why the last refresh of the profile's session failed. It is nil if that succeeded, or if there is no
// record of it.
func (b *Broker) LastRefresh(ctx context.Context, p *config.Profile) error {
	return b.slot(p).readRecord(ctx, "refresh").err()
}

package broker

import (
	"context"

	"clerk-credential-helper/internal/clerk"
	"clerk-credential-helper/internal/config"
)

// Issuer talks to the issuer of a profile. [clerk.Client] documents the methods and their errors.
type Issuer interface {
	Begin(ctx context.Context, p *config.Profile, flows ...clerk.Flow) (Attempt, error)
	Refresh(ctx context.Context, p *config.Profile, old clerk.Tokens) (clerk.Tokens, error)
	Revoke(ctx context.Context, p *config.Profile, refreshToken string) error
	Mint(ctx context.Context, p *config.Profile, secretKey string) (clerk.Tokens, error)
	CheckToken(ctx context.Context, p *config.Profile, token string) (clerk.Verdict, error)
}

// Attempt is a sign-in that has begun. [clerk.Attempt] documents the methods, their order and their errors.
type Attempt interface {
	Invitation() clerk.Invitation
	Wait(ctx context.Context) error
	Redeem(ctx context.Context) (clerk.Tokens, error)
	Finish(ctx context.Context, err error)
	Next(ctx context.Context) error
	Close()
}

// Clerk makes an Issuer of a client.
func Clerk(c *clerk.Client) Issuer { return clerkIssuer{c} }

type clerkIssuer struct{ *clerk.Client }

func (c clerkIssuer) Begin(ctx context.Context, p *config.Profile, flows ...clerk.Flow) (Attempt, error) {
	a, err := c.Client.Begin(ctx, p, flows...)
	if err != nil {
		return nil, err // a nil *clerk.Attempt would not be a nil Attempt
	}
	return a, nil
}

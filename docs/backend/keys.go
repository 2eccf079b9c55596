package main

import (
	"context"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const (
	keysAge   = time.Hour   // after which the keys are fetched again, so that a withdrawn one is forgotten
	keysPause = time.Minute // between two fetches, whatever key is asked for
)

// keySet keeps the issuer's public keys (RFC 7517 §5).
type keySet struct {
	fetching sync.Mutex // held around a fetch, so that there is one at a time

	mu    sync.Mutex
	byID  map[string]*rsa.PublicKey // nil before the first answer
	tried time.Time                 // when they were last asked for
}

// find returns the key of that id. A client can name a new id in each request, so unknown ones cause at most one fetch
// a minute. If a fetch fails, the previous keys stay in use.
func (k *keySet) find(ctx context.Context, v *Verifier, id string) (*rsa.PublicKey, error) {
	key, settled, err := k.look(v.now(), id)
	if settled {
		return key, err
	}
	k.fetching.Lock()
	defer k.fetching.Unlock()
	if key, settled, err := k.look(v.now(), id); settled {
		return key, err // another request has fetched meanwhile
	}
	// A caller that goes away must not abort the fetch for the others.
	keys, err := v.fetchKeys(context.WithoutCancel(ctx))
	k.mu.Lock()
	k.tried = v.now()
	if err == nil {
		k.byID = keys
	}
	none := k.byID == nil
	k.mu.Unlock()
	if none {
		return nil, err
	}
	key, _, err = k.look(v.now(), id)
	return key, err
}

// look searches the keys that were fetched. settled reports that they must not be fetched again now.
func (k *keySet) look(now time.Time, id string) (key *rsa.PublicKey, settled bool, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	age := now.Sub(k.tried)
	key = k.byID[id]
	switch {
	case key != nil:
	case k.byID == nil:
		err = errors.New("the issuer's keys could not be fetched")
	default:
		err = refusal("its key is not one of the issuer's")
	}
	return key, age < keysPause || key != nil && age < keysAge, err
}

func (v *Verifier) fetchKeys(ctx context.Context) (map[string]*rsa.PublicKey, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, v.Issuer+"/.well-known/jwks.json", nil)
	if err != nil {
		return nil, err
	}
	var answer struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if _, err := v.fetch(req, &answer); err != nil {
		return nil, err
	}
	keys := map[string]*rsa.PublicKey{}
	for _, raw := range answer.Keys {
		var key jose.JSONWebKey
		if json.Unmarshal(raw, &key) != nil || key.Use == "enc" {
			continue // unknown kinds of keys are skipped
		}
		if public, ok := key.Key.(*rsa.PublicKey); ok && public.N.BitLen() >= 2048 {
			keys[key.KeyID] = public
		}
	}
	return keys, nil
}

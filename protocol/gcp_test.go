package protocol

import (
	"errors"
	"testing"
	"time"
)

func TestGCPReadRequest(t *testing.T) {
	want := Request{Verb: Get, NeverAsk: true}
	testRequests(t, []requestTest{
		{"what Google's clients set", GCP{gcpIDToken, "0"}, "", "", want, ""},
		{"a JWT", GCP{gcpJWT, "0"}, "", "", want, ""},
		{"by hand", GCP{}, "", "", want, ""},
		{"the interactive form has the token in a file", GCP{gcpIDToken, "1"}, "", "", Request{}, "interactive"},
		{"or whatever is not 0", GCP{gcpIDToken, "true"}, "", "", Request{}, "interactive"},
		{"SAML", GCP{"urn:ietf:params:oauth:token-type:saml2", "0"}, "", "", Request{}, "saml2"},
		{"an access token", GCP{"urn:ietf:params:oauth:token-type:access_token", "0"}, "", "", Request{}, "not supported"},
	})
	(GCP{}).ReadRequest("", unreadable{t})
}

func TestGCPWriteReply(t *testing.T) {
	req := Request{Verb: Get, Profile: "acme"}
	forever := testFound()
	forever.Credential.Expires = time.Time{}
	testReplies(t, []replyTest{
		{"an ID token", GCP{gcpIDToken, "0"}, req, testFound(), `{"version":1,"success":true,"token_type":"urn:ietf:params:oauth:token-type:id_token","id_token":"tok-123","expiration_time":1795424400}` + "\n", "", 0},
		{"a JWT is said to be one", GCP{gcpJWT, "0"}, req, testFound(), `{"version":1,"success":true,"token_type":"urn:ietf:params:oauth:token-type:jwt","id_token":"tok-123","expiration_time":1795424400}` + "\n", "", 0},
		{"no end", GCP{}, req, forever, `{"version":1,"success":true,"token_type":"urn:ietf:params:oauth:token-type:id_token","id_token":"tok-123"}` + "\n", "", 0},

		{"a failure is an object with status 0, and stderr is silent", GCP{}, req, testNeeds(), `{"version":1,"success":false,"code":"401","message":"needs a sign-in; run: clerk-credential-helper login acme"}` + "\n", "", 0},
		{"nothing named", GCP{}, Request{Verb: Get}, Reply{}, `{"version":1,"success":false,"code":"401","message":"the tool gave no host: name a profile with --profile NAME"}` + "\n", "", 0},
		{"a message of one line", GCP{}, req, Reply{Result: Failed, Err: errors.New("a\nb")}, `{"version":1,"success":false,"code":"401","message":"a\\nb"}` + "\n", "", 0},
	})
}

package protocol

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// Kube is the protocol of client-go's credential plugins (client.authentication.k8s.io, v1 and v1beta1), which kubectl
// and everything else that uses client-go share.
type Kube struct {
	// Info is the variable [KubeInfo]: a JSON object, 1 MiB at most. Empty if a person calls by hand.
	Info string
}

const (
	// KubeInfo is the variable in which client-go describes the cluster.
	KubeInfo = "KUBERNETES_EXEC_INFO"

	kubeMaxInfo = 1 << 20
	kubeGroup   = "client.authentication.k8s.io/"
	kubeKind    = "ExecCredential"
)

// kubeCredential is the ExecCredential of both directions.
type kubeCredential struct {
	APIVersion string      `json:"apiVersion"`
	Kind       string      `json:"kind"`
	Spec       *kubeSpec   `json:"spec,omitempty"`
	Status     *kubeStatus `json:"status,omitempty"`
}

type kubeSpec struct {
	Cluster *struct {
		Server string `json:"server"`
	} `json:"cluster"`
	Interactive bool `json:"interactive"`
}

type kubeStatus struct {
	Expires string `json:"expirationTimestamp,omitempty"`
	Token   string `json:"token"`
}

// ReadRequest reads the cluster's server from Info, where the person has set provideClusterInfo, and nothing from r. A
// person may be asked only if Info reports that standard input is theirs.
func (k Kube) ReadRequest(_ Verb, _ io.Reader) (Request, error) {
	req := Request{Verb: Get}
	if k.Info == "" {
		return req, nil
	}
	in, err := k.info()
	if err != nil {
		return req, err
	}
	if in.Spec != nil && in.Spec.Cluster != nil && in.Spec.Cluster.Server != "" {
		if req, err = readTarget(in.Spec.Cluster.Server); err != nil {
			return Request{Verb: Get}, fmt.Errorf("the cluster's server in KUBERNETES_EXEC_INFO: %w", err)
		}
	}
	req.NeverAsk = in.Spec == nil || !in.Spec.Interactive
	return req, nil
}

func (k Kube) info() (kubeCredential, error) {
	var in kubeCredential
	if len(k.Info) > kubeMaxInfo {
		return in, fmt.Errorf("KUBERNETES_EXEC_INFO is larger than %d bytes", kubeMaxInfo)
	}
	if json.Unmarshal([]byte(k.Info), &in) != nil || in.Kind != kubeKind {
		return in, errors.New("KUBERNETES_EXEC_INFO is not an ExecCredential object")
	}
	if in.APIVersion != kubeGroup+"v1" && in.APIVersion != kubeGroup+"v1beta1" {
		return in, fmt.Errorf("the apiVersion %q is not supported: use %sv1", in.APIVersion, kubeGroup)
	}
	return in, nil
}

// WriteReply writes an ExecCredential in the apiVersion that was asked in: client-go compares the two. Everything else
// is a message on stderr, which the person sees, and status 1.
func (k Kube) WriteReply(stdout, stderr io.Writer, req Request, reply Reply) (int, error) {
	if reply.Result != Found {
		err := failure(req, reply)
		if req.Host == "" && reply.Err == nil {
			err = errors.New("kubectl did not say which cluster: set provideClusterInfo: true, or add --profile NAME to args")
		}
		WriteMessage(stderr, err, reply.Hint)
		return 1, nil
	}
	if _, err := authorization(reply.Credential); err != nil {
		return 1, err
	}
	out := kubeCredential{APIVersion: kubeGroup + "v1", Kind: kubeKind, Status: &kubeStatus{Token: reply.Credential.Token}}
	if k.Info != "" {
		in, err := k.info()
		if err != nil {
			return 1, err
		}
		out.APIVersion = in.APIVersion
	}
	if expires := reply.Credential.Expires; !expires.IsZero() {
		out.Status.Expires = expires.UTC().Format(time.RFC3339)
	}
	return writeJSON(stdout, out)
}

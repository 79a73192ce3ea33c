// Informers of client-go that follow what as many edges do, for bench/fleet:
// each simulated edge has a client, a transport and connections of its own.
//
//	fleet_informers PLAN default|json URL TOKEN_FILE CA_FILE
//
// PLAN is a file with what fleet_edges answers to "plan". Commands come as
// lines on stdin and are answered as fleet_edges does.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
)

// One list+watch of the plan.
type collection struct {
	Path   string `json:"path"`
	Labels string `json:"labels"`
	Fields string `json:"fields"`
}

var received, sent, lists, watches, events atomic.Int64

// Bytes of connections, TLS and all.
type countedConn struct{ net.Conn }

func (c countedConn) Read(data []byte) (int, error) {
	n, err := c.Conn.Read(data)
	received.Add(int64(n))
	return n, err
}

func (c countedConn) Write(data []byte) (int, error) {
	n, err := c.Conn.Write(data)
	sent.Add(int64(n))
	return n, err
}

type countedRequests struct{ http.RoundTripper }

func (c countedRequests) RoundTrip(request *http.Request) (*http.Response, error) {
	if request.URL.Query().Get("watch") != "" {
		watches.Add(1)
	} else {
		lists.Add(1)
	}
	return c.RoundTripper.RoundTrip(request)
}

// When the marker came to have so many ready endpoints: rising.
type sighting struct {
	pods int
	time time.Time
}

type edge struct {
	plan     []collection
	mutex    sync.Mutex
	sighting []sighting
}

func (e *edge) note(pods int) {
	e.mutex.Lock()
	defer e.mutex.Unlock()
	if n := len(e.sighting); n == 0 || pods > e.sighting[n-1].pods {
		e.sighting = append(e.sighting, sighting{pods, time.Now()})
	}
}

func (e *edge) seenAt(pods int) time.Time {
	e.mutex.Lock()
	defer e.mutex.Unlock()
	for _, s := range e.sighting {
		if s.pods >= pods {
			return s.time
		}
	}
	return time.Time{}
}

// What an edge needs of an object, lest 500 caches of everything fill the
// memory; an informer's traffic does not depend on it. It is also called for
// what it has returned.
func reduce(object any) (any, error) {
	switch o := object.(type) {
	case *discoveryv1.EndpointSlice:
		if o.AddressType == "" {
			return o, nil
		}
		ready := 0
		for _, endpoint := range o.Endpoints {
			if endpoint.Conditions.Ready == nil || *endpoint.Conditions.Ready {
				ready++
			}
		}
		return &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{
			Name: o.Name, Namespace: o.Namespace,
			ResourceVersion: o.ResourceVersion, Generation: int64(ready),
		}}, nil
	case *corev1.Node:
		return &corev1.Node{ObjectMeta: metav1.ObjectMeta{
			Name: o.Name, ResourceVersion: o.ResourceVersion,
		}}, nil
	}
	return object, nil
}

func (e *edge) observe(object any) {
	events.Add(1)
	if slice, ok := object.(*discoveryv1.EndpointSlice); ok &&
		strings.HasPrefix(slice.Name, "marker-") {
		e.note(int(slice.Generation))
	}
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func (e *edge) start(config rest.Config) {
	dialer := &net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second}
	// A function of its own: client-go shares connections by it.
	config.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dialer.DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return countedConn{conn}, nil
	}
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return countedRequests{next}
	})
	client, err := kubernetes.NewForConfig(&config)
	check(err)
	for _, c := range e.plan {
		options := []informers.SharedInformerOption{
			informers.WithTransform(reduce),
			informers.WithTweakListOptions(func(o *metav1.ListOptions) {
				o.LabelSelector, o.FieldSelector = c.Labels, c.Fields
			}),
		}
		parts := strings.Split(c.Path, "/")
		for i, part := range parts {
			if part == "namespaces" && i+2 < len(parts) {
				options = append(options, informers.WithNamespace(parts[i+1]))
			}
		}
		factory := informers.NewSharedInformerFactoryWithOptions(client, 0, options...)
		var informer cache.SharedIndexInformer
		switch resource := parts[len(parts)-1]; resource {
		case "endpointslices":
			informer = factory.Discovery().V1().EndpointSlices().Informer()
		case "nodes":
			informer = factory.Core().V1().Nodes().Informer()
		default:
			check(fmt.Errorf("no informer for %s", c.Path))
		}
		_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc:    e.observe,
			UpdateFunc: func(_, object any) { e.observe(object) },
		})
		check(err)
		factory.Start(context.Background().Done())
	}
}

func seen(edges []*edge, command string) any {
	var pods, count int
	fmt.Sscanf(command, "seen %d", &pods)
	var first, last float64
	for _, e := range edges {
		at := e.seenAt(pods)
		if at.IsZero() {
			continue
		}
		t := float64(at.UnixNano()) / 1e9
		if count++; count == 1 || t < first {
			first = t
		}
		last = max(last, t)
	}
	return map[string]any{"edges": count, "first": first, "last": last}
}

func stats() any {
	var usage syscall.Rusage
	check(syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	seconds := func(t syscall.Timeval) float64 {
		return float64(t.Sec) + float64(t.Usec)/1e6
	}
	return map[string]any{
		"requests": lists.Load() + watches.Load(), "lists": lists.Load(),
		"watches": watches.Load(), "events": events.Load(),
		"received": received.Load(), "sent": sent.Load(),
		"cpu": seconds(usage.Utime) + seconds(usage.Stime),
	}
}

func main() {
	if len(os.Args) != 6 {
		fmt.Fprintln(os.Stderr,
			"usage: fleet_informers PLAN default|json URL TOKEN_FILE CA_FILE")
		os.Exit(2)
	}
	debug.SetMemoryLimit(6 << 30)
	text, err := os.ReadFile(os.Args[1])
	check(err)
	var plans [][]collection
	check(json.Unmarshal(text, &plans))
	config := rest.Config{
		Host: os.Args[3], BearerTokenFile: os.Args[4],
		TLSClientConfig: rest.TLSClientConfig{CAFile: os.Args[5]},
	}
	// Left alone, a typed client asks for protobuf.
	if os.Args[2] == "json" {
		config.ContentType = "application/json"
	}
	var edges []*edge
	for _, plan := range plans {
		edges = append(edges, &edge{plan: plan})
	}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var answer any
		switch command := lines.Text(); {
		case command == "start":
			for _, e := range edges {
				e.start(config)
			}
			answer = map[string]any{}
		case command == "stats":
			answer = stats()
		case strings.HasPrefix(command, "seen "):
			answer = seen(edges, command)
		default:
			answer = map[string]any{"error": "unknown command"}
		}
		line, err := json.Marshal(answer)
		check(err)
		fmt.Println(string(line))
	}
}

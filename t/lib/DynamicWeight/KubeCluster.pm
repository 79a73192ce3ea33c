package DynamicWeight::KubeCluster;

# A real kube-apiserver (t/kube) on an etcd of its own, and calls that write
# what controllers and kubelets would. Stands where a FakeCluster stands:
#
#   my $bj = DynamicWeight::KubeCluster->new($t, 'BJ');   # %%BJ%% is its URL
#   $bj->app('prod', 'orders', 12);
#   $bj->nodes(map "127.0.0.$_", 11 .. 13);
#
#   dynamic_weight_cluster bj {
#       api %%BJ%%; ca_file %%BJ_CA%%; token_file %%BJ_TOKEN%%; ...
#
# The token is that of the user "reader", who may what grant() says: at first
# to list and watch every kind the module can read.

use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Temp ();
use JSON::PP;
use POSIX ();
use Time::HiRes ();

use DynamicWeight;

my $root = abs_path(dirname(__FILE__) . '/../../..');
my $json = JSON::PP->new->canonical->utf8;

use constant ADMIN_TOKEN => 'admin-token';

# The path of kube-apiserver, or nothing and why not: for plan skip_all.
sub program {
    my $errors = File::Temp->new;
    chomp(my $path = `$root/t/kube/build 2>$errors`);
    return $path if $? == 0;
    seek $errors, 0, 0;
    return (undef, join '', <$errors>);
}

# Options: `apiserver`: further flags, an array.
sub new {
    my ($class, $t, $name, %opt) = @_;
    my ($program, $why) = program();
    die $why unless $program;
    my $dir = "$t->{dir}/kube-$name";
    mkdir $dir or die "$dir: $!\n";
    chmod 0755, $dir;
    my $self = bless {
        t => $t, name => $name, dir => $dir, owner => $$,
        program   => $program,
        port      => DynamicWeight::free_port(),
        etcd_port => DynamicWeight::free_port(),
        peer_port => DynamicWeight::free_port(),
        apiserver => $opt{apiserver} // [],
        namespaces => {},
    }, $class;
    $self->write('token', "reader-token\n", 0644);
    $self->make_certificates;
    $t->{names}{$name} = $self->url;
    $t->{names}{"${name}_CA"} = $self->ca_file;
    $t->{names}{"${name}_TOKEN"} = $self->token_file;
    push @{$t->{clusters}}, $self;
    $self->start_etcd;
    $self->start;
    $self->grant;
    return $self;
}

sub name       { $_[0]{name} }
sub port       { $_[0]{port} }
sub url        { "https://127.0.0.1:$_[0]{port}" }
sub ca_file    { "$_[0]{dir}/ca.pem" }
sub token_file { "$_[0]{dir}/token" }
# Of a client who is the user "reader" by certificate.
sub client_certificate     { "$_[0]{dir}/reader.pem" }
sub client_certificate_key { "$_[0]{dir}/reader.key" }

sub write {
    my ($self, $name, $text, $mode) = @_;
    my $path = "$self->{dir}/$name";
    # Replaced as a whole: others read it at any time.
    open my $f, '>', "$path.new" or die "$path: $!\n";
    print $f $text;
    close $f or die "$path: $!\n";
    chmod $mode // 0600, "$path.new";
    rename "$path.new", $path or die "$path: $!\n";
    return $path;
}

sub read_token {
    my ($self) = @_;
    open my $f, '<', $self->token_file or die "token: $!\n";
    chomp(my $token = <$f>);
    return $token;
}

sub run_openssl {
    my (@arguments) = @_;
    my $said = qx(openssl @arguments 2>&1);
    die "openssl @arguments: $said" if $?;
}

# A new authority, and with it the server's and a client's certificate.
sub make_certificates {
    my ($self) = @_;
    my $d = $self->{dir};
    my $key = '-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes';
    run_openssl("req -x509 $key -days 30 -subj /CN=authority-$self->{name}",
        '-addext basicConstraints=critical,CA:TRUE',
        "-keyout $d/ca.key -out $d/ca.new");
    my %more = (
        server => 'subjectAltName=IP:127.0.0.1,DNS:localhost,'
            . 'DNS:kubernetes.default.svc',
        reader => 'extendedKeyUsage=clientAuth',
    );
    for my $name (sort keys %more) {
        $self->write("$name.ext", "$more{$name}\n");
        run_openssl("req $key -subj /CN=$name -keyout $d/$name.key",
            "-out $d/$name.csr");
        run_openssl("x509 -req -days 30 -in $d/$name.csr -CA $d/ca.new",
            "-CAkey $d/ca.key -CAcreateserial -extfile $d/$name.ext",
            "-out $d/$name.pem");
    }
    chmod 0644, "$d/ca.new", "$d/reader.pem", "$d/reader.key";
    rename "$d/ca.new", $self->ca_file or die "ca.pem: $!\n";
    return if -e "$d/service-account.key";
    run_openssl("genrsa -out $d/service-account.key 2048");
}

# ---- Processes.

sub spawn {
    my ($self, $name, @command) = @_;
    my $pid = fork // die "fork: $!\n";
    if ($pid == 0) {
        open STDIN, '<', '/dev/null';
        open STDOUT, '>>', "$self->{dir}/$name.log";
        open STDERR, '>&', \*STDOUT;
        POSIX::setpgid(0, 0);
        # Ends with the test, even if that is killed.
        exec('setpriv', '--pdeathsig', 'KILL', @command) or POSIX::_exit(127);
    }
    return $pid;
}

sub end {
    my ($self, $what, $signal) = @_;
    my $pid = delete $self->{$what} or return;
    kill 'CONT', $pid;
    kill $signal // 'TERM', $pid;
    my $reaped = 0;
    DynamicWeight::wait_for(sub {
        $reaped = waitpid($pid, POSIX::WNOHANG()) != 0 }, "$what to end", 20);
    return if $reaped;
    kill 'KILL', $pid;
    waitpid $pid, 0;
}

sub start_etcd {
    my ($self) = @_;
    my $clients = "http://127.0.0.1:$self->{etcd_port}";
    my $peers = "http://127.0.0.1:$self->{peer_port}";
    $self->{etcd_pid} = $self->spawn('etcd', 'etcd',
        '--data-dir', "$self->{dir}/etcd", '--logger=zap',
        '--log-outputs=stderr', '--unsafe-no-fsync',
        '--listen-client-urls', $clients, '--advertise-client-urls', $clients,
        '--listen-peer-urls', $peers,
        '--initial-advertise-peer-urls', $peers,
        '--initial-cluster', "default=$peers");
    DynamicWeight::wait_for(sub {
        `curl -s -m 2 $clients/health` =~ /true/ },
        "etcd of $self->{name}", 60)
        or die "etcd does not start: see $self->{dir}/etcd.log\n";
}

# The API server on the etcd that runs; ready when this returns.
sub start {
    my ($self) = @_;
    my $d = $self->{dir};
    $self->write('tokens.csv', ADMIN_TOKEN
        . ",admin,admin,\"system:masters\"\n"
        . $self->read_token . ",reader,reader\n");
    $self->{pid} = $self->spawn('kube-apiserver', $self->{program},
        "--etcd-servers=http://127.0.0.1:$self->{etcd_port}",
        "--cert-dir=$d/unused", "--tls-cert-file=$d/server.pem",
        "--tls-private-key-file=$d/server.key",
        "--client-ca-file=$d/ca.pem",
        "--secure-port=$self->{port}", '--bind-address=127.0.0.1',
        "--token-auth-file=$d/tokens.csv", '--authorization-mode=RBAC',
        '--service-cluster-ip-range=10.96.0.0/16',
        '--service-account-issuer=https://kubernetes.default.svc',
        "--service-account-key-file=$d/service-account.key",
        "--service-account-signing-key-file=$d/service-account.key",
        '--endpoint-reconciler-type=none',
        '--disable-admission-plugins=ServiceAccount,TaintNodesByCondition',
        '--shutdown-delay-duration=0s', @{$self->{apiserver}});
    DynamicWeight::wait_for(sub {
        my ($status) = $self->api(GET => '/readyz');
        $status == 200 }, "kube-apiserver of $self->{name}", 120)
        or die "kube-apiserver does not start: see $d/kube-apiserver.log\n";
    return $self;
}

sub stop_apiserver { my ($self, $signal) = @_; $self->end(pid => $signal) }

# Both processes; cleanup() of the test calls it.
sub stop {
    my ($self) = @_;
    return unless $$ == $self->{owner};
    $self->end(pid => 'KILL');
    $self->end(etcd_pid => 'KILL');
}

sub restart {
    my ($self, $signal) = @_;
    $self->stop_apiserver($signal);
    return $self->start;
}

sub freeze { kill 'STOP', $_[0]{pid} }
sub thaw   { kill 'CONT', $_[0]{pid} }

# Copies etcd's data aside, and puts the copy back: time goes back. Both
# restart the API server.
sub save_etcd {
    my ($self, $name) = @_;
    $self->around_etcd("rm -rf saved-$name && cp -a etcd saved-$name");
}
sub restore_etcd {
    my ($self, $name) = @_;
    $self->around_etcd("rm -rf etcd && cp -a saved-$name etcd");
}

sub around_etcd {
    my ($self, $command) = @_;
    $self->stop_apiserver('KILL');
    $self->end('etcd_pid');
    system("cd $self->{dir} && $command") == 0 or die "failed: $command\n";
    $self->start_etcd;
    return $self->start;
}

# Etcd forgets history up to now: the API server's watch cache does not.
# With a restart afterwards, older versions are too old.
sub compact {
    my ($self) = @_;
    my $etcd = "http://127.0.0.1:$self->{etcd_port}/v3/kv";
    my $at = $json->decode(scalar `curl -s -d '{"key":"AA=="}' $etcd/range`);
    my $revision = $at->{header}{revision};
    `curl -s -d '{"revision":"$revision","physical":true}' $etcd/compaction`;
    return $revision;
}

# A new token for the reader. The API server reads its list when it starts:
# the former token is refused from then on.
sub rotate_token {
    my ($self, $token, %opt) = @_;
    my $former = $self->read_token;
    $self->write('token', "$token\n", 0644);
    $self->restart;
    $self->write('token', "$former\n", 0644) if $opt{keep_file};
}

# A new authority: ca_file is replaced, and the former one no longer suffices.
sub rotate_authority {
    my ($self) = @_;
    $self->make_certificates;
    return $self->restart;
}

# ---- The API.

# (HTTP status, decoded answer); status 0: no answer. Options: token, type.
sub api {
    my ($self, $method, $path, $body, %opt) = @_;
    my $token = $opt{token} // ADMIN_TOKEN;
    my $type = $opt{type} // 'application/json';
    my $sent = File::Temp->new(DIR => $self->{dir});
    print $sent $json->encode($body) if defined $body;
    close $sent;
    # As a file: arguments can be seen by all, and have an end.
    my $config = File::Temp->new(DIR => $self->{dir});
    print $config <<"EOF", defined $body ? "data-binary = \"\@$sent\"\n" : '';
silent
globoff
url = "@{[$self->url]}$path"
request = "$method"
cacert = "@{[$self->ca_file]}"
header = "Authorization: Bearer $token"
header = "Content-Type: $type"
max-time = @{[$opt{timeout} // 20]}
write-out = "\\n%{http_code}"
EOF
    close $config;
    my $answer = `curl -K $config`;
    my ($text, $status) = $answer =~ /^(.*)\n(\d+)\z/s or return (0, undef);
    return ($status + 0,
        $text =~ /^\s*\{/ ? $json->decode($text) : { text => $text });
}

# The same, for what has to succeed.
sub call {
    my ($self, $method, $path, $body, %opt) = @_;
    my ($status, $answer) = $self->api($method, $path, $body, %opt);
    return $answer if $status >= 200 && $status < 300;
    die "$self->{name}: $method $path: $status "
        . ($answer->{message} // $answer->{text} // '') . "\n";
}

my %plural = (
    Namespace => 'namespaces', Node => 'nodes', Service => 'services',
    Pod => 'pods', EndpointSlice => 'endpointslices',
    Deployment => 'deployments', StatefulSet => 'statefulsets',
    Rollout => 'rollouts', Role => 'roles', RoleBinding => 'rolebindings',
    ClusterRole => 'clusterroles', ClusterRoleBinding => 'clusterrolebindings',
    CustomResourceDefinition => 'customresourcedefinitions',
);
my %version = (
    (map { $_ => 'v1' } qw(Namespace Node Service Pod)),
    (map { $_ => 'apps/v1' } qw(Deployment StatefulSet)),
    (map { $_ => 'rbac.authorization.k8s.io/v1' }
        qw(Role RoleBinding ClusterRole ClusterRoleBinding)),
    EndpointSlice => 'discovery.k8s.io/v1',
    Rollout => 'argoproj.io/v1alpha1',
    CustomResourceDefinition => 'apiextensions.k8s.io/v1',
);

sub collection {
    my ($kind, $ns) = @_;
    my $version = $version{$kind} // die "unknown kind $kind\n";
    return ($version eq 'v1' ? '/api/' : '/apis/') . $version
        . (defined $ns ? "/namespaces/$ns" : '') . "/$plural{$kind}";
}

# Creates an object or makes it just this (server-side apply), its namespace
# and, if it has one, its status.
sub apply {
    my ($self, $kind, $object) = @_;
    my %object = (%$object, kind => $kind, apiVersion => $version{$kind});
    my $ns = $object{metadata}{namespace};
    $self->namespace($ns) if defined $ns;
    my $path = collection($kind, $ns) . "/$object{metadata}{name}";
    my $how = '?fieldManager=test&force=true';
    my @type = (type => 'application/apply-patch+yaml');
    my $status = delete $object{status};
    my $answer = $self->call(PATCH => $path . $how, \%object, @type);
    return $answer unless $status;
    return $self->call(PATCH => "$path/status$how", {
        kind => $kind, apiVersion => $object{apiVersion},
        metadata => $object{metadata}, status => $status }, @type);
}

# A merge patch of what is there; `subresource`: "status".
sub patch {
    my ($self, $kind, $ns, $name, $change, $subresource) = @_;
    return $self->call(PATCH => collection($kind, $ns) . "/$name"
        . ($subresource ? "/$subresource" : ''), $change,
        type => 'application/merge-patch+json');
}

sub delete {
    my ($self, $kind, $ns, $name) = @_;
    return $self->call(DELETE => collection($kind, $ns)
        . "/$name?gracePeriodSeconds=0");
}

# The items of a list. Options: selector, token.
sub list {
    my ($self, $kind, $ns, %opt) = @_;
    my $query = '';
    if (defined $opt{selector}) {
        $query = '?labelSelector='
            . ($opt{selector} =~ s/([^\w.-])/sprintf '%%%02X', ord $1/ger);
    }
    my $answer = $self->call(GET => collection($kind, $ns) . $query, undef,
        %opt);
    return @{$answer->{items}};
}

sub namespace {
    my ($self, $ns) = @_;
    return if $self->{namespaces}{$ns}++;
    my ($status) = $self->api(POST => '/api/v1/namespaces',
        { metadata => { name => $ns } });
    die "namespace $ns: $status\n" unless $status == 201 || $status == 409;
}

sub uid {
    my (@parts) = @_;
    my $hash = 0;
    $hash = ($hash * 31 + ord) % 2**48 for split //, join '/', @parts;
    return sprintf '00000000-0000-4000-8000-%012x', $hash;
}

# An application's EndpointSlices, 100 endpoints each: `pods` ready ones, and
# options not_ready, terminating, slices (how many of them), dual_stack,
# deployment, statefulset, rollout, pod_objects.
sub app {
    my ($self, $ns, $name, $pods, %more) = @_;
    my @states = ((['true', 'true', 'false']) x $pods,
        (['false', 'false', 'false']) x ($more{not_ready} // 0),
        (['false', 'true', 'true']) x ($more{terminating} // 0));
    my $count = $more{slices} // (int((@states + 99) / 100) || 1);
    my %keep;
    for my $family ('IPv4', $more{dual_stack} ? 'IPv6' : ()) {
        for my $n (0 .. $count - 1) {
            my ($from, $to) = $more{slices}
                ? (int(@states * $n / $count), int(@states * ($n + 1) / $count))
                : ($n * 100, $n * 100 + 100);
            $to = @states if $to > @states;
            my $slice = $name . ($family eq 'IPv6' ? '-v6-' : '-') . $n;
            $keep{$slice} = 1;
            $self->apply(EndpointSlice => {
                metadata => { namespace => $ns, name => $slice,
                    labels => { 'kubernetes.io/service-name' => $name } },
                addressType => $family,
                ports => [{ name => 'http', port => 8080 }],
                endpoints => [map
                    { endpoint($ns, $name, $_, $family, $states[$_]) }
                    $from .. $to - 1],
            });
        }
    }
    for my $slice ($self->list(EndpointSlice => $ns,
            selector => "kubernetes.io/service-name=$name")) {
        my $former = $slice->{metadata}{name};
        $self->delete(EndpointSlice => $ns, $former) unless $keep{$former};
    }
    $self->pods($ns, $name, $pods) if $more{pod_objects};
    $self->workload(Deployment => $ns, $name, $pods) if $more{deployment};
    $self->workload(StatefulSet => $ns, $name, $pods) if $more{statefulset};
    $self->workload(Rollout => $ns, $name, $pods) if $more{rollout};
}

# Never contacted. The API server refuses loopback addresses here.
sub pod_address {
    my ($i, $family) = @_;
    my $host = $i + 1;
    return sprintf 'fd00::%x', $host if ($family // '') eq 'IPv6';
    return join '.', 10, ($host >> 16) & 255, ($host >> 8) & 255, $host & 255;
}

sub endpoint {
    my ($ns, $name, $i, $family, $state) = @_;
    my ($ready, $serving, $terminating)
        = map { $_ eq 'true' ? JSON::PP::true : JSON::PP::false } @$state;
    return {
        addresses  => [pod_address($i, $family)],
        conditions => { ready => $ready, serving => $serving,
            terminating => $terminating },
        nodeName   => 'worker-' . $i % 10,
        targetRef  => { kind => 'Pod', namespace => $ns, name => "$name-$i",
            uid => uid($ns, $name, $i) },
    };
}

# Pod objects labelled app=NAME, all of them ready; `host_ip`: a code that
# gives the i-th one's status.hostIP.
sub pods {
    my ($self, $ns, $name, $count, %opt) = @_;
    for my $i (0 .. $count - 1) {
        my $ip = $opt{host_ip} ? $opt{host_ip}->($i)
            : '10.255.0.' . ($i % 10 + 1);
        $self->apply(Pod => {
            metadata => { namespace => $ns, name => "$name-$i",
                labels => { app => $name } },
            spec => { nodeName => 'worker-' . $i % 10,
                containers => [{ name => 'app', image => 'app' }] },
            status => { phase => 'Running', hostIP => $ip,
                hostIPs => [{ ip => $ip }],
                podIP => pod_address($i), podIPs => [{ ip => pod_address($i) }],
                conditions => [{ type => 'Ready', status => 'True' }] },
        });
    }
    for my $pod ($self->list(Pod => $ns, selector => "app=$name")) {
        my ($i) = $pod->{metadata}{name} =~ /-(\d+)\z/;
        $self->delete(Pod => $ns, $pod->{metadata}{name}) if $i >= $count;
    }
}

# A Deployment, StatefulSet or Rollout with so many ready replicas.
sub workload {
    my ($self, $kind, $ns, $name, $ready) = @_;
    my %labels = (app => $name);
    $self->rollout_definition if $kind eq 'Rollout';
    $self->apply($kind => {
        metadata => { namespace => $ns, name => $name, labels => \%labels },
        spec => { replicas => $ready + 0,
            selector => { matchLabels => \%labels },
            $kind eq 'StatefulSet' ? (serviceName => $name) : (),
            template => { metadata => { labels => \%labels },
                spec => { containers => [
                    { name => 'app', image => 'app' }] } } },
        status => { replicas => $ready + 0, readyReplicas => $ready + 0 },
    });
}

# Argo's CustomResourceDefinition, as far as a reader of status can tell.
sub rollout_definition {
    my ($self) = @_;
    return if $self->{rollouts}++;
    $self->apply(CustomResourceDefinition => {
        metadata => { name => 'rollouts.argoproj.io' },
        spec => {
            group => 'argoproj.io', scope => 'Namespaced',
            names => { kind => 'Rollout', plural => 'rollouts',
                singular => 'rollout', listKind => 'RolloutList' },
            versions => [{
                name => 'v1alpha1', served => JSON::PP::true,
                storage => JSON::PP::true, subresources => { status => {} },
                schema => { openAPIV3Schema => { type => 'object',
                    'x-kubernetes-preserve-unknown-fields'
                        => JSON::PP::true } },
            }],
        },
    });
    DynamicWeight::wait_for(sub {
        my ($status) = $self->api(GET => '/apis/argoproj.io/v1alpha1/rollouts');
        $status == 200 }, 'rollouts to be served');
}

# Exactly these Node objects, labelled role=ingress: addresses, or hashes of
# name, address and optionally ready, external_address, cordoned, taint,
# labels.
sub nodes {
    my ($self, @nodes) = @_;
    my %keep;
    for my $given (@nodes) {
        my %node = ref $given ? %$given : (address => $given);
        $node{name} //= 'node-' . ($node{address} =~ s/[^0-9a-f]+/-/gr);
        $keep{$node{name}} = 1;
        my @addresses = { type => 'InternalIP', address => $node{address} };
        push @addresses, { type => 'ExternalIP',
            address => $node{external_address} } if $node{external_address};
        $self->apply(Node => {
            metadata => { name => $node{name},
                labels => { role => 'ingress', %{$node{labels} // {}} } },
            spec => {
                $node{cordoned} ? (unschedulable => JSON::PP::true) : (),
                $node{taint} ? (taints => [{ key => $node{taint},
                    effect => 'NoSchedule' }]) : () },
            status => { addresses => \@addresses, conditions => [{
                type => 'Ready', reason => 'Test', message => 'set by a test',
                status => $node{ready} // 1 ? 'True' : 'False',
                lastHeartbeatTime => '2026-01-01T00:00:00Z',
                lastTransitionTime => '2026-01-01T00:00:00Z' }] },
        });
    }
    for my $node ($self->list('Node')) {
        my $name = $node->{metadata}{name};
        $self->delete(Node => undef, $name) unless $keep{$name};
    }
}

# ---- What the reader may.

my @all_rules = (
    { apiGroups => ['discovery.k8s.io'], resources => ['endpointslices'] },
    { apiGroups => [''], resources => ['nodes', 'pods'] },
    { apiGroups => ['apps'], resources => ['deployments', 'statefulsets'] },
    { apiGroups => ['argoproj.io'], resources => ['rollouts'] },
);

# In the whole cluster, exactly these rules; verbs are list and watch unless a
# rule has its own.
sub grant {
    my ($self, @rules) = @_;
    @rules = @all_rules unless @rules;
    $self->apply(ClusterRole => { metadata => { name => 'edge-reader' },
        rules => [map { { verbs => ['list', 'watch'], %$_ } } @rules] });
    $self->apply(ClusterRoleBinding => {
        metadata => { name => 'edge-reader' },
        roleRef  => { apiGroup => 'rbac.authorization.k8s.io',
            kind => 'ClusterRole', name => 'edge-reader' },
        subjects => [{ apiGroup => 'rbac.authorization.k8s.io',
            kind => 'User', name => 'reader' }] });
    my ($group, $resource) = ($rules[0]{apiGroups}[0], $rules[0]{resources}[0]);
    $self->wait_access($group, $resource, 1);
}

sub revoke {
    my ($self) = @_;
    $self->delete(ClusterRoleBinding => undef, 'edge-reader');
    $self->wait_access('discovery.k8s.io', 'endpointslices', 0);
}

# The authorizer works from a cache of its own, which follows a moment later.
sub wait_access {
    my ($self, $group, $resource, $wanted) = @_;
    DynamicWeight::wait_for(sub {
        my $review = $self->call(POST =>
            '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews', {
                kind => 'SelfSubjectAccessReview',
                apiVersion => 'authorization.k8s.io/v1',
                spec => { resourceAttributes => { group => $group,
                    resource => $resource, verb => 'list' } },
            }, token => $self->read_token);
        return $wanted == ($review->{status}{allowed} ? 1 : 0);
    }, "the reader's rights");
}

sub log {
    my ($self) = @_;
    open my $f, '<', "$self->{dir}/kube-apiserver.log" or return '';
    local $/;
    return scalar <$f>;
}

sub DESTROY {
    my ($self) = @_;
    local $?;
    $self->stop if $$ == $self->{owner};
}

1;

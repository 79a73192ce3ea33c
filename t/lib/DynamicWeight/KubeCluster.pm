package DynamicWeight::KubeCluster;

# A real kube-apiserver (t/kube) on an etcd of its own, and calls that write
# what controllers and kubelets would; KubeControllers has the real ones. Stands
# where a FakeCluster stands:
#
#   my $bj = DynamicWeight::KubeCluster->new($t, 'BJ');   # %%BJ%% is its URL
#   $bj->app('prod', 'orders', 12);
#   $bj->nodes(map "127.0.0.$_", 11 .. 13);
#
#   dynamic_weight_cluster bj {
#       api %%BJ%%; ca_file %%BJ_CA%%; token_file %%BJ_TOKEN%%; ...
#
# etcd is Debian's (3.4), or t/kube's where TEST_ETCD or the option `etcd` says
# "3.6". On that alone the API server answers consistent lists from its cache.
#
# The token is that of the user "reader", who may what grant() says: at first
# to list and watch every kind the module can read.

use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Temp ();
use JSON::XS;
use POSIX ();
use Time::HiRes ();

use DynamicWeight;
use parent -norequire, qw(DynamicWeight::KubeControllers
    DynamicWeight::KubeCredentials DynamicWeight::KubeEtcd
    DynamicWeight::KubeObjects);
use DynamicWeight::KubeControllers;
use DynamicWeight::KubeCredentials;
use DynamicWeight::KubeEtcd;
use DynamicWeight::KubeObjects;

my $root = abs_path(dirname(__FILE__) . '/../../..');
my $json = JSON::XS->new->canonical->utf8;

use constant ADMIN_TOKEN => 'admin-token';

# The path of a program of t/kube.
my %programs;
sub program {
    my ($name) = @_;
    return $programs{$name} //= do {
        chomp(my $path = `$root/t/kube/build $name`);
        die "t/kube/build $name failed\n" if $?;
        $path;
    };
}

# Options: `apiserver`: further flags, an array; `beside`: another KubeCluster,
# of whose cluster this is one more API server; `etcd`: its version, and
# `members`: how many of it (1); `nice`: by how much its processes stand back
# behind others.
sub new {
    my ($class, $t, $name, %opt) = @_;
    my $etcd = $opt{etcd} // $ENV{TEST_ETCD} // '3.4';
    my $first = $opt{beside};
    my $dir = $first ? $first->{dir} : "$t->{dir}/kube-$name";
    $first or mkdir $dir or die "$dir: $!\n";
    chmod 0755, $dir;
    my $self = bless {
        t => $t, name => $name, dir => $dir, owner => $$,
        etcd      => $etcd eq '3.6' ? program('etcd') : 'etcd',
        port      => DynamicWeight::free_port(),
        members   => $first ? $first->{members}
            : [map { $class->etcd_member($_) } 0 .. ($opt{members} // 1) - 1],
        apiserver => $opt{apiserver} // [],
        nice      => $opt{nice} // 0,
        namespaces => {},
        reader_token => 'reader-token',
    }, $class;
    $t->{names}{$name} = $self->url;
    $t->{names}{"${name}_CA"} = $self->ca_file;
    $t->{names}{"${name}_TOKEN"} = $self->token_file;
    push @{$t->{clusters}}, $self;
    return $self->start if $first;
    $self->write_token($self->{reader_token});
    $self->make_certificates;
    $self->write_ca;
    $self->start_etcd;
    $self->start;
    $self->grant;
    return $self;
}

sub name       { $_[0]{name} }
sub port       { $_[0]{port} }
sub log_name   { "kube-apiserver-$_[0]{name}.log" }
# Of itself, or of the load balancer that its users are to ask.
sub url        { 'https://127.0.0.1:' . ($_[0]{front} // $_[0]{port}) }

# From now on its users ask this port.
sub stand_behind {
    my ($self, $port) = @_;
    $self->{front} = $port;
    $self->{t}{names}{$self->{name}} = $self->url;
}

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

# ---- Processes.

sub spawn {
    my ($self, $name, @command) = @_;
    my $pid = fork // die "fork: $!\n";
    if ($pid == 0) {
        open STDIN, '<', '/dev/null';
        open STDOUT, '>>', "$self->{dir}/$name";
        open STDERR, '>&', \*STDOUT;
        POSIX::setpgid(0, 0);
        POSIX::nice($self->{nice}) if $self->{nice};
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

# What the API server is to note of each request: who asks what.
use constant AUDIT_POLICY => <<'EOF';
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [ResponseStarted, ResponseComplete, Panic]
rules: [{ level: Metadata }]
EOF

# The API server on the etcd that runs; ready when this returns.
sub start {
    my ($self) = @_;
    my $d = $self->{dir};
    local $self->{front};
    $self->write('tokens.csv', ADMIN_TOKEN
        . ",admin,admin,\"system:masters\"\n"
        . "$self->{reader_token},reader,reader\n");
    $self->{pid} = $self->spawn($self->log_name,
        program('kubernetes'), 'kube-apiserver',
        '--etcd-servers=' . join(',', map { $_->{url} } @{$self->{members}}),
        "--cert-dir=$d/unused", "--tls-cert-file=$d/server.pem",
        "--tls-private-key-file=$d/server.key",
        "--client-ca-file=@{[$self->authority_file]}",
        "--secure-port=$self->{port}", '--bind-address=127.0.0.1',
        "--token-auth-file=$d/tokens.csv", '--authorization-mode=RBAC',
        '--service-cluster-ip-range=10.96.0.0/16',
        '--service-account-issuer=' . $self->ISSUER,
        "--service-account-key-file=$d/service-account.key",
        "--service-account-signing-key-file=$d/service-account.key",
        '--endpoint-reconciler-type=none',
        '--disable-admission-plugins=ServiceAccount,TaintNodesByCondition',
        '--audit-policy-file=' . $self->write('audit.yaml', AUDIT_POLICY),
        '--audit-log-path=' . $self->audit_file, '--audit-log-mode=blocking',
        '--shutdown-delay-duration=0s', @{$self->{apiserver}});
    DynamicWeight::wait_for(sub {
        my ($status) = $self->api(GET => '/readyz');
        $status == 200 }, "kube-apiserver of $self->{name}", 120)
        or die "kube-apiserver does not start: see $d/@{[$self->log_name]}\n";
    return $self;
}

sub stop_apiserver { my ($self, $signal) = @_; $self->end(pid => $signal) }

# All processes; cleanup() of the test calls it.
sub stop {
    my ($self) = @_;
    return unless $$ == $self->{owner};
    $self->stop_controllers;
    $self->end(pid => 'KILL');
    $self->stop_etcd('KILL');
}

sub restart {
    my ($self, $signal) = @_;
    $self->stop_apiserver($signal);
    return $self->start;
}

# Keeps so many of its handlers busy, until leave(): with lists of a version it
# does not have yet, for which it waits some seconds.
sub occupy {
    my ($self, $count) = @_;
    my $config = $self->write('occupy', <<"EOF");
silent
fail
url = "@{[$self->url]}/api/v1/nodes?resourceVersion=1000000000000"
cacert = "@{[$self->authority_file]}"
header = "Authorization: Bearer $self->{reader_token}"
EOF
    $self->{"occupier_$_"} = $self->spawn('occupy.log', 'sh', '-c',
        "while :; do curl -K $config || sleep 0.2; done") for 1 .. $count;
}
sub leave {
    my ($self) = @_;
    $self->end($_, 'KILL') for grep { /^occupier/ } keys %$self;
}

sub freeze { kill 'STOP', $_[0]{pid} }
sub thaw   { kill 'CONT', $_[0]{pid} }

# ---- The API.

# (HTTP status, decoded answer); status 0: no answer. The body is data, or a
# reference to text that is sent as it is. Options: token, type.
sub api {
    my ($self, $method, $path, $body, %opt) = @_;
    my $token = $opt{token} // ADMIN_TOKEN;
    my $type = $opt{type} // 'application/json';
    my $sent = File::Temp->new(DIR => $self->{dir});
    print $sent ref $body eq 'SCALAR' ? $$body : $json->encode($body)
        if defined $body;
    close $sent;
    my $config = $self->curl_config($path, $token, <<"EOF");
request = "$method"
header = "Content-Type: $type"
max-time = @{[$opt{timeout} // 20]}
write-out = "\\n%{http_code}"
@{[defined $body ? "data-binary = \"\@$sent\"" : '']}
EOF
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

# As a file: arguments can be seen by all, and have an end.
sub curl_config {
    my ($self, $path, $token, $more) = @_;
    my $config = File::Temp->new(DIR => $self->{dir});
    print $config <<"EOF";
silent
globoff
url = "@{[$self->url]}$path"
cacert = "@{[$self->authority_file]}"
header = "Authorization: Bearer $token"
$more
EOF
    close $config;
    return $config;
}

# A watch that begins with all that is there, or after a version: a handle to read
# events from, one a line. It ends with this process.
sub watch {
    my ($self, $path, $version) = @_;
    my $from = $version ? "&resourceVersion=$version" : '';
    my $config = $self->curl_config("$path?watch=1$from", ADMIN_TOKEN,
        'no-buffer');
    open my $events, '-|', 'setpriv', '--pdeathsig', 'KILL', 'curl', '-K',
        "$config" or die "curl: $!\n";
    push @{$self->{watches}}, $config;    # which curl is still to read
    return $events;
}

sub log {
    my ($self) = @_;
    open my $f, '<', "$self->{dir}/" . $self->log_name or return '';
    local $/;
    return scalar <$f>;
}

sub audit_file { "$_[0]{dir}/audit-$_[0]{name}.log" }

# Where the audit log stands, for audit().
sub audit_mark { -s $_[0]->audit_file || 0 }

# The requests of the user "reader" since a mark: hashes with verb, requestURI.
sub audit {
    my ($self, $since) = @_;
    open my $f, '<', $self->audit_file or die "audit log: $!\n";
    seek $f, $since // 0, 0;
    return grep { $_->{user}{username} eq 'reader' }
        map { $json->decode($_) } grep { /\n\z/ } <$f>;
}

sub DESTROY {
    my ($self) = @_;
    local $?;
    $self->stop if $$ == $self->{owner};
}

1;

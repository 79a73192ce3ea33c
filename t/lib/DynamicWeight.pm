package DynamicWeight;

# A test's world: an edge (nginx with the module), backends (a second nginx,
# listening on every loopback address, that logs each request), clusters (fake
# API servers), and load. Everything lives in a temporary folder and ends with
# the test.
#
#   my $t = DynamicWeight->new;
#   my $bj = $t->fake_cluster('bj');
#   $bj->app('prod', 'orders', 12);
#   $bj->nodes(map "127.0.0.$_", 11 .. 13);
#   $t->start_backends;
#   $t->conf(http => "...");          # %%PORT%%, %%BACKEND%%, %%DIR%%
#   $t->start;
#   wait_for { $t->weights('orders')->{'127.0.0.11'} == 40 } 'weights';
#
# done() checks what every test must end with: nothing alarming in the logs.

use strict;
use warnings;

use Exporter 'import';
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Temp qw(tempdir);
use IO::Select;
use IO::Socket::INET;
use IO::Socket::UNIX;
use JSON::XS;    # a status is read many times a second
use POSIX qw(:sys_wait_h);
use Scalar::Util qw(weaken);
use Test::More;
use Time::HiRes qw(sleep time);

use DynamicWeight::FakeCluster;
use DynamicWeight::Processes qw(children end_all);
use DynamicWeight::SlowServers;

our @EXPORT = qw(wait_for wait_ok free_port http_get);

our $root = abs_path(dirname(__FILE__) . '/../..');

# ---- Functions.

# Polls a condition; false, after a diagnosis, when it never comes true.
sub wait_for(&;$$) {
    my ($condition, $what, $seconds) = @_;
    my $end = time + ($seconds // 30);
    while (1) {
        my $value = eval { $condition->() };
        return $value if $value;
        if (time > $end) {
            diag('waited in vain: ' . ($what // 'a condition'));
            return;
        }
        sleep 0.02;
    }
}

# wait_for as a test of its own.
sub wait_ok(&$;$) {
    my ($condition, $name, $seconds) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return ok(&wait_for($condition, $name, $seconds), $name);
}

# A port for a server to listen on, below those that connections get, which may
# be in use at any time. Tests that run beside each other, or that listen later,
# get others: whoever has a port holds a socket by its name while it lives.
my %taken;

sub free_port {
    while (1) {
        my $port = 10_240 + int rand 22_528;
        next if $taken{$port};
        my $held = IO::Socket::UNIX->new(Listen => 1,
            Local => "\0dynamic-weight-port-$port") or next;
        my $s = IO::Socket::INET->new(Listen => 1, LocalAddr => '0.0.0.0',
            LocalPort => $port) or next;
        close $s;
        $taken{$port} = $held;
        return $port;
    }
}

# One request on a connection of its own: { status, body, headers }, or nothing
# when the answer is not complete.
sub http_get {
    my ($port, $uri, %opt) = @_;
    my $s = IO::Socket::INET->new(
        PeerAddr => '127.0.0.1', PeerPort => $port, Timeout => 10)
        or return;
    my $method = $opt{method} // 'GET';
    my $body   = $opt{body}   // '';
    my $length = length $body;
    local $SIG{PIPE} = 'IGNORE';
    print $s "$method $uri HTTP/1.0\r\nHost: localhost\r\n"
        . ($length ? "Content-Length: $length\r\n" : '')
        . ($opt{headers} // '') . "\r\n$body";
    my $answer = '';
    my $select = IO::Select->new($s);
    while (1) {
        $select->can_read($opt{timeout} // 20) or return;
        my $n = sysread $s, $answer, 65536, length $answer;
        return unless defined $n;
        last if $n == 0;
    }
    $answer =~ m{^HTTP/1\.\d (\d+)[^\r]*\r\n(.*?)\r\n\r\n(.*)}s or return;
    my ($status, $head, $text) = ($1, $2, $3);
    return if $head =~ /^Content-Length: (\d+)/mi && $method ne 'HEAD'
        && length $text < $1;
    return { status => $status, headers => $head, body => $text };
}

# ---- The edge.

my @worlds;     # all that new() made; weak
my %dirs;       # their folders, and the process that made them

sub new {
    my ($class, %opt) = @_;
    my $dir = tempdir('dynamic-weight-XXXXXX', TMPDIR => 1,
        CLEANUP => !$ENV{TEST_KEEP});
    chmod 0755, $dir;
    mkdir "$dir/sanitizer";
    chmod 0777, "$dir/sanitizer";    # for workers of another user
    my $self = bless {
        dir     => $dir,
        owner   => $$,
        port    => free_port(),
        backend => free_port(),
        nginx   => $ENV{TEST_NGINX_BINARY} // '/usr/sbin/nginx',
        module  => $ENV{TEST_NGINX_MODULE}
            // "$root/build/ngx_http_dynamic_weight_module.so",
        workers => 2,
        connections => 1024,    # of a worker
        allowed => [],
        load    => [],
        clusters => [],
        preload  => [],         # libraries
        %opt,
    }, $class;
    weaken($worlds[@worlds] = $self);
    $dirs{$dir} = $$;
    return $self;
}

sub dir  { $_[0]{dir} }
sub port { $_[0]{port} }

# The version of the edge's nginx as nginx writes it as a number: 1.22.1 is
# 1022001.
sub version {
    my ($self) = @_;
    return $self->{version} //= do {
        my ($major, $minor, $patch)
            = `$self->{nginx} -v 2>&1` =~ m{nginx/(\d+)\.(\d+)\.(\d+)}
            or die "$self->{nginx} does not tell its version\n";
        $major * 1_000_000 + $minor * 1_000 + $patch;
    };
}

# What an upstream says that is to keep no connection.
sub keep_none { 'dynamic_weight_keepalive 0;' }

# Messages of level alert and above that the test brings about on purpose.
sub allow { my ($self, @patterns) = @_; push @{$self->{allowed}}, @patterns }

sub write_file {
    my ($self, $name, $text) = @_;
    my $path = "$self->{dir}/$name";
    open my $f, '>', $path or die "$path: $!\n";
    print $f $text;
    close $f or die "$path: $!\n";
    return $path;
}

sub read_file {
    my ($self, $name) = @_;
    open my $f, '<', "$self->{dir}/$name" or return '';
    local $/;
    return scalar <$f>;
}

sub expand {
    my ($self, $text) = @_;
    my %value = (
        DIR => $self->{dir}, PORT => $self->{port},
        BACKEND => $self->{backend}, ROOT => $root, %{$self->{names} // {}},
    );
    $text =~ s/%%(\w+)%%/$value{$1} \/\/ die "no %%$1%%\n"/ge;
    return $text;
}

# Writes nginx.conf. `http`: what stands in http { }; `main`: before events.
sub conf {
    my ($self, %part) = @_;
    my $main = $part{main} // '';
    my $load = $self->{module} eq 'static' ? ''
        : "load_module $self->{module};";
    $self->write_file('nginx.conf', $self->expand(<<"EOF"));
$load
pid               %%DIR%%/nginx.pid;
error_log         %%DIR%%/error.log info;
worker_processes  $self->{workers};
worker_shutdown_timeout 20s;
$main
events {
    worker_connections  $self->{connections};
}
http {
    access_log  off;
    keepalive_requests  1000000;
    client_body_temp_path  %%DIR%%/temp_body;
    proxy_temp_path        %%DIR%%/temp_proxy;
    fastcgi_temp_path      %%DIR%%/temp_fastcgi;
    uwsgi_temp_path        %%DIR%%/temp_uwsgi;
    scgi_temp_path         %%DIR%%/temp_scgi;
$part{http}
}
EOF
}

# The server that most tests want: / goes to an upstream, /dw/ is the status.
sub edge_server {
    my ($self, $upstream) = @_;
    return <<"EOF";
    server {
        listen 127.0.0.1:%%PORT%%;
        add_header X-Worker \$pid;
        location / {
            proxy_pass          http://$upstream;
            proxy_http_version  1.1;
            proxy_set_header    Connection "";
        }
        location /dw/ { dynamic_weight_status; }
    }
EOF
}

sub command {
    my ($self, @args) = @_;
    return ($self->{nginx}, '-p', $self->{dir}, '-c',
        "$self->{dir}/nginx.conf", @args);
}

# The environment for a module built with sanitizers, and for `preload`.
sub sanitized {
    my ($self, $code) = @_;
    my @preload = @{$self->{preload}};
    if (!$ENV{TEST_NGINX_SANITIZE}) {
        local $ENV{LD_PRELOAD} = "@preload" if @preload;
        return $code->();
    }
    chomp(my $asan = `g++ -print-file-name=libasan.so`);
    chomp(my $ubsan = `g++ -print-file-name=libubsan.so`);
    local $ENV{LD_PRELOAD}    = "$asan $ubsan @preload";
    local $ENV{ASAN_OPTIONS}  = 'detect_leaks=0:abort_on_error=1:'
        . "log_path=$self->{dir}/sanitizer/found:detect_odr_violation=0";
    local $ENV{UBSAN_OPTIONS} = "log_path=$self->{dir}/sanitizer/found:"
        . 'print_stacktrace=1';
    return $code->();
}

# nginx -t: (exit status, what it said).
sub test_conf {
    my ($self) = @_;
    my @command = $self->command('-t');
    my $said = $self->sanitized(sub { `@command 2>&1` });
    return ($? >> 8, $said);
}

sub start {
    my ($self) = @_;
    my @command = $self->command;
    my $status = $self->sanitized(
        sub { system("@command 2>>$self->{dir}/start.log") });
    if ($status != 0) {
        diag($self->read_file('start.log'));
        die "nginx does not start\n";
    }
    return wait_for { $self->master && @{[$self->workers]} >= $self->{workers} }
        'nginx to start';
}

sub master {
    my ($self) = @_;
    my ($pid) = $self->read_file('nginx.pid') =~ /(\d+)/;
    return $pid && kill(0, $pid) ? $pid : undef;
}

# The pids of the workers that serve (not those that are shutting down).
sub workers {
    my ($self) = @_;
    return grep {
        my $name = '';
        if (open my $f, '<', "/proc/$_/cmdline") { $name = <$f> // '' }
        $name =~ /worker process(?! is shutting)/;
    } children($self->master);
}

sub old_workers {
    my ($self) = @_;
    my %now = map { $_ => 1 } $self->workers;
    return grep { !$now{$_} } children($self->master);
}

# Worker 0: the one with a second thread.
sub worker0 {
    my ($self) = @_;
    my ($pid) = grep { @{[glob "/proc/$_/task/*"]} > 1 } $self->workers;
    return $pid;
}

# The one that took the place of a worker 0 that was killed.
sub next_worker0 {
    my ($self, $victim) = @_;
    my $pid = $self->worker0;
    return $pid && $pid != $victim ? $pid : undef;
}

# Waits until a worker uses no CPU time.
sub idles {
    my ($self, $pid) = @_;
    my $before = '';
    return wait_for {
        open my $f, '<', "/proc/$pid/stat" or return;
        my ($cpu) = <$f> =~ /\) (?:\S+ ){11}(\d+ \d+)/;
        my $idle = $cpu eq $before;
        $before = $cpu;
        sleep 0.2 unless $idle;    # some ticks of that clock
        $idle
    } "worker $pid to idle";
}

sub signal {
    my ($self, $signal) = @_;
    my $pid = $self->master or return;
    return kill $signal, $pid;
}

# Returns when all workers are new ones; the old ones may still be finishing.
sub reload {
    my ($self) = @_;
    my %old = map { $_ => 1 } $self->workers;
    $self->signal('HUP');
    return wait_for {
        my @workers = $self->workers;
        @workers >= $self->{workers} && !grep { $old{$_} } @workers
    } 'new workers';
}

sub stop {
    my ($self, $signal) = @_;
    my $pid = $self->master or return 1;
    kill $signal // 'TERM', $pid;
    return wait_for { !kill(0, $pid) } 'nginx to end';
}

sub log { $_[0]->read_file('error.log') }

sub status {
    my ($self, %opt) = @_;
    my $answer = http_get($opt{port} // $self->{port}, '/dw/status') or return;
    return decode_json($answer->{body});
}

# Address (without port) => weight, of the peers that are not drained.
sub weights {
    my ($self, $upstream) = @_;
    my $status = $self->status or return {};
    my %weight;
    for my $peer (@{$status->{upstreams}{$upstream}{peers}}) {
        next if $peer->{state} =~ /^drain/;
        my ($address) = $peer->{server} =~ /^(.*):\d+$/;
        $weight{$address} = $peer->{weight};
    }
    return \%weight;
}

# Waits until the weights are just these.
sub wait_weights {
    my ($self, $upstream, $want, $seconds) = @_;
    my $json = JSON::XS->new->canonical;
    my $wanted = $json->encode({map { $_ => $want->{$_} + 0 } keys %$want});
    my $ok = wait_for {
        $json->encode($self->weights($upstream)) eq $wanted
    } "weights of $upstream: $wanted", $seconds;
    diag('they are ' . $json->encode($self->weights($upstream))) unless $ok;
    return $ok;
}

# ---- Clusters.

# A fake API server; %%NAME%% is its URL.
sub fake_cluster {
    my ($self, $name, @options) = @_;
    my $cluster = DynamicWeight::FakeCluster->new($self, $name, @options);
    $self->{names}{$name} = $cluster->url;
    push @{$self->{clusters}}, $cluster;
    return $cluster;
}

# A real kube-apiserver; %%NAME%% is its URL, %%NAME_CA%% and %%NAME_TOKEN%% are
# the files that the edge needs.
sub kube_cluster {
    my ($self, $name, @options) = @_;
    require DynamicWeight::KubeCluster;
    return DynamicWeight::KubeCluster->new($self, $name, @options);
}

# ---- Backends: port %%BACKEND%% of every loopback address.

sub start_backends {
    my ($self, %opt) = @_;
    my $d = "$self->{dir}/backends";
    mkdir $d;
    mkdir "$d/fail";
    mkdir "$d/close";
    chmod 0755, $d, "$d/fail", "$d/close";
    my $tls = '';
    if ($opt{tls}) {
        $self->{tls} = free_port();
        $self->{names}{TLS} = $self->{tls};
        system("openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj "
            . "/CN=backend -keyout $d/key.pem -out $d/cert.pem 2>/dev/null");
        $tls = "listen $self->{tls} ssl; ssl_certificate $d/cert.pem; "
            . "ssl_certificate_key $d/key.pem; "
            . ($opt{tls} eq '1.2' ? 'ssl_protocols TLSv1.2; ' : '')
            . "ssl_session_cache shared:backend:1m;";
    }
    $self->write_file('backends/nginx.conf', <<"EOF");
pid $d/nginx.pid;
error_log $d/error.log notice;
worker_processes 1;
events { worker_connections @{[$opt{quick} ? 19000 : 4096]}; }
http {
    client_body_temp_path $d/t1; proxy_temp_path $d/t2;
    fastcgi_temp_path $d/t3; uwsgi_temp_path $d/t4; scgi_temp_path $d/t5;
    log_format count "\$server_addr \$connection \$ssl_session_reused \$status";
    access_log @{[$opt{quick} ? 'off' : "$d/access.log count"]};
    keepalive_requests 1000000;
    server {
        listen $self->{backend} backlog=4096;
        listen [::1]:$self->{backend};
        $tls
        @{[$opt{quick} ? '' : "if (-f $d/fail/\$server_addr) { return 500; }
        if (-f $d/close/\$server_addr) { return 444; }"]}
        location / { return 200 "\$server_addr\\n"; }
        location = /barrier { access_log off; return 204; }
        location /slow {
            limit_rate 1000;
            root $d;
        }
    }
}
EOF
    $self->write_file('backends/slow', 'x' x 4000);
    my $nginx = $ENV{TEST_NGINX_SANITIZE} ? '/usr/sbin/nginx' : $self->{nginx};
    system($nginx, '-p', $d, '-c', "$d/nginx.conf") == 0
        or die "the backends do not start\n";
    return wait_for { -s "$d/nginx.pid" } 'backends';
}

# Makes an address answer 500, or close without an answer; mends it.
sub break_backend {
    my ($self, $address, $how) = @_;
    $self->write_file('backends/' . ($how // 'fail') . "/$address", '');
}
sub mend_backend {
    my ($self, $address) = @_;
    unlink "$self->{dir}/backends/$_/$address" for qw(fail close);
}

# A request is logged after it was answered. The backends are one process: once
# it has answered this, all that it had answered before is in its log.
sub await_backend_log {
    my ($self) = @_;
    http_get($self->{backend}, '/barrier');
    return;
}

# Where the backends' log stands now, for `since` below.
sub mark {
    my ($self) = @_;
    $self->await_backend_log;
    return -s "$self->{dir}/backends/access.log" || 0;
}

# The requests since a mark, in order: arrays of address, connection, whether
# the TLS session was reused, status.
sub backend_requests {
    my ($self, $since) = @_;
    $self->await_backend_log;
    open my $f, '<', "$self->{dir}/backends/access.log" or return;
    seek $f, $since // 0, 0;
    return map { [split] } grep { /\n\z/ } <$f>;
}

sub backend_counts {
    my ($self, $since) = @_;
    my %count;
    $count{$_->[0]}++ for $self->backend_requests($since);
    return \%count;
}

# Instead of them: servers at these addresses that can be told what to do, see
# DynamicWeight/SlowServers.pm.
sub slow_servers {
    my ($self, %opt) = @_;
    my $servers = DynamicWeight::SlowServers->new(
        port => $self->{backend}, %opt);
    push @{$self->{clusters}}, $servers;
    return $servers;
}

# ---- Load: processes that ask / (`uri`: another, or several in turn) on a new
# connection each time, as fast as they can or with a `pause` of some seconds
# after each, where the load is long and need only be there all the time.

sub start_load {
    my ($self, $processes, %opt) = @_;
    my $n = ++$self->{load_number};
    my $stop = "$self->{dir}/load.$n.stop";
    for my $i (1 .. $processes // 2) {
        my $pid = fork // die "fork: $!\n";
        if ($pid) {
            push @{$self->{load}}, $pid;
            next;
        }
        my (%status, $requests);
        $requests = 0;
        my @uris = ref $opt{uri} ? @{$opt{uri}} : $opt{uri} // '/';
        until (-e $stop) {
            for (1 .. 20) {
                my $answer =
                    http_get($self->{port}, $uris[$requests % @uris]);
                $requests++;
                $status{$answer ? $answer->{status} : 'broken'}++;
                sleep $opt{pause} if $opt{pause};
            }
            $self->write_file("load.$n.$i", encode_json({
                requests => $requests, statuses => \%status }))
                unless $requests % 200;
        }
        $self->write_file("load.$n.$i", encode_json({
            requests => $requests, statuses => \%status }));
        POSIX::_exit(0);
    }
    return $n;
}

# { requests, failed, statuses } of all load since start_load.
sub stop_load {
    my ($self) = @_;
    $self->write_file("load.$self->{load_number}.stop", '');
    waitpid $_, 0 for splice @{$self->{load}};
    return $self->load_so_far;
}

# The same while it goes on; the last 200 requests of each process may be
# missing.
sub load_so_far {
    my ($self) = @_;
    my $n = $self->{load_number};
    my %sum = (requests => 0, failed => 0, statuses => {});
    for my $file (glob "$self->{dir}/load.$n.[0-9]*") {
        open my $f, '<', $file or next;
        my $one = eval { decode_json(do { local $/; <$f> }) }
            or next;    # it is being written
        $sum{requests} += $one->{requests};
        for my $status (keys %{$one->{statuses}}) {
            $sum{statuses}{$status} += $one->{statuses}{$status};
            $sum{failed} += $one->{statuses}{$status} unless $status eq '200';
        }
    }
    return \%sum;
}

# Reads `n` answers of / over `connections` kept ones in turn, spread over at
# least `workers` workers: the list of bodies, in order.
sub sequence {
    my ($self, $n, $workers) = @_;
    my (%by_pid, @all);
    my $ask = sub {
        my ($s) = @_;
        print $s "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
        my $answer = '';
        until ($answer =~ /\r\n\r\n.*\n\z/s) {
            sysread($s, $answer, 4096, length $answer) or return;
        }
        my ($pid) = $answer =~ /^X-Worker: (\d+)/m;
        my ($body) = $answer =~ /\r\n\r\n(.*)\n\z/s;
        return ($pid, $body);
    };
    my @bodies;
    for (1 .. 400) {
        last if keys %by_pid >= $workers;
        my $s = IO::Socket::INET->new(PeerAddr => '127.0.0.1',
            PeerPort => $self->{port}) or die "connect: $!\n";
        $s->autoflush(1);
        push @all, $s;
        my ($pid, $body) = $ask->($s);
        push @bodies, $body;
        $by_pid{$pid} //= $s;
    }
    my @in_turn = values %by_pid;
    while (@bodies < $n) {
        my (undef, $body) = $ask->($in_turn[@bodies % @in_turn]);
        push @bodies, $body // 'broken';
    }
    return { workers => scalar @in_turn, bodies => \@bodies };
}

# ---- The end.

sub alarming {
    my ($self) = @_;
    my @lines = grep { /\[(alert|emerg|crit)\]|exited on signal/ }
        split /\n/, $self->log;
    for my $pattern (@{$self->{allowed}}) {
        @lines = grep { !/$pattern/ } @lines;
    }
    return @lines;
}

sub done {
    my ($self) = @_;
    ok($self->stop, 'nginx ends');
    is(join("\n", $self->alarming), '', 'nothing alarming in the log');
    my $sanitizer = join '', map { `cat $_` } glob "$self->{dir}/sanitizer/*";
    is($sanitizer, '', 'no sanitizer error');
    $self->cleanup;
    done_testing();
}

sub cleanup {
    my ($self) = @_;
    kill 'KILL', splice @{$self->{load}};
    for my $pid_file ('nginx.pid', 'backends/nginx.pid') {
        my ($pid) = $self->read_file($pid_file) =~ /(\d+)/ or next;
        kill 'TERM', $pid;
    }
    $_->stop for grep { $_ } splice @{$self->{clusters}};
}

sub DESTROY {
    my ($self) = @_;
    return if $$ != $self->{owner};
    local $?;
    $self->cleanup;
}

# A test that leaves a process running has failed. ($? is what it exits with.)
END {
    my @own = grep { $dirs{$_} == $$ } keys %dirs;
    if (@own) {
        my $status = $?;
        $_->cleanup for grep { $_ } @worlds;
        my @left = end_all(30, @own);
        diag(map { "left running: $_\n" } @left) if @left;
        $? = $status || (@left ? 1 : 0);
    }
}

1;

package DynamicWeight;

# A test's world: an edge (nginx with the module), backends (a second nginx,
# listening on every loopback address, that logs each request), clusters (fake
# API servers), and load. Everything lives in a temporary directory and ends with
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
use JSON::XS;    # a status is read many times a second
use POSIX qw(:sys_wait_h);
use Scalar::Util qw(weaken);
use Test::More;
use Time::HiRes qw(sleep time);

use DynamicWeight::FakeCluster;
use DynamicWeight::Functions;
use DynamicWeight::Processes qw(children end_all);

use parent qw(DynamicWeight::Backends DynamicWeight::Load);

our @EXPORT = qw(wait_for wait_ok free_port http_get);

our $root = abs_path(dirname(__FILE__) . '/../..');

# ---- The edge.

my @worlds;     # all that new() made; weak
my %dirs;       # their directories, and the process that made them

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
            = `$self->{nginx} -V 2>&1` =~ m{nginx/(\d+)\.(\d+)\.(\d+)}
            or die "$self->{nginx} does not tell its version\n";
        $major * 1_000_000 + $minor * 1_000 + $patch;
    };
}

# Whether that is Angie, which has the number of the nginx that it follows.
sub is_angie { $_[0]{is_angie} //= `$_[0]{nginx} -V 2>&1` =~ /^Angie/ || 0 }

# Whether upstreams keep connections by location: newer than Debian's.
sub keeps_by_location { $_[0]->version >= 1_029_007 && !$_[0]->is_angie }

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
    chomp(my $here = `$root/t/lib/asan-options`);
    local $ENV{LD_PRELOAD}    = "$asan $ubsan @preload";
    local $ENV{ASAN_OPTIONS}  = "$here:detect_leaks=0:abort_on_error=1:"
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

package DynamicWeight::FaultTest;

# An edge under load that follows an application of a real API server, and what
# every fault must leave right: no failed request, the last right weights for
# as long as it lasts, and the new ones after it.
#
#   my $f = DynamicWeight::FaultTest->new($t, $kube);
#   $f->follow('watched', 'mode watch;');      # a cluster and upstream each
#   $f->follow('polled', 'mode poll; interval 300ms;');
#   $f->start;
#   $f->begin('killed');
#   $kube->stop_apiserver('KILL');
#   $f->failing(qr/connect/i, 'watched', 'polled');
#   $kube->start;
#   $f->recovers;
#   $f->done;

use strict;
use warnings;

use POSIX ();
use Test::More;
use Time::HiRes ();

use DynamicWeight;

# Three ingress nodes and 12 pods at first.
sub new {
    my ($class, $t, $kube) = @_;
    my $self = bless {
        t => $t, kube => $kube, pods => 12, followed => [], http => '',
    }, $class;
    $kube->app('prod', 'orders', $self->{pods});
    $kube->nodes(map "127.0.0.$_", 11 .. 13);
    return $self;
}

# `how`: what stands in the cluster's block, beside where the nodes are. What
# it does not say of api and credentials is the KubeCluster's; timeout is 2s.
sub follow {
    my ($self, $name, $how) = @_;
    push @{$self->{followed}}, $name;
    my $kube = $self->{kube}->name;
    my %default = (api => "%%$kube%%", token_file => "%%${kube}_TOKEN%%",
        ca_file => "%%${kube}_CA%%", timeout => '2s');
    for my $directive (sort keys %default) {
        $how .= " $directive $default{$directive};"
            unless $how =~ /\b$directive /;
    }
    $self->{http} .= <<"EOF";
    dynamic_weight_cluster $name {
        $how
        ingress_nodes  nodes=role=ingress;
    }
    upstream $name {
        dynamic_weight;
        server         127.0.0.1:%%BACKEND%%;
        ingress_nodes  $name service=prod/orders port=%%BACKEND%%;
        keepalive      32;
    }
EOF
}

sub start {
    my ($self) = @_;
    my $t = $self->{t};
    $t->start_backends;
    my $locations = join '', map { <<"EOF" } @{$self->{followed}};
        location /$_ {
            proxy_pass          http://$_/;
            proxy_http_version  1.1;
            proxy_set_header    Connection "";
        }
EOF
    my $server = $t->edge_server($self->{followed}[0]);
    $server =~ s/(?=        location \/dw)/$locations/;
    $t->conf(http => "    dynamic_weight_zone main:1m;\n$self->{http}$server");
    ok($t->start, 'nginx starts');
    $self->wait_weights('at first');
    # Little: other tests run beside this one.
    $t->start_load(1, pause => 0.005,
        uri => [map { "/$_" } @{$self->{followed}}]);
}

sub weights {
    my ($self, $pods) = @_;
    return { '127.0.0.1' => 10,
        map { ("127.0.0.$_" => int($pods * 10 / 3)) } 11 .. 13 };
}

sub wait_weights {
    my ($self, $what, @names) = @_;
    for my $name (@names ? @names : @{$self->{followed}}) {
        # A server that went back in time is found out up to 98 s after the
        # last try that failed, which 30 s may follow until it is there.
        ok($self->{t}->wait_weights($name, $self->weights($self->{pods}), 200),
            "$what: $name: weights of $self->{pods} pods");
    }
}

sub watch_status {
    my ($self, $name) = @_;
    return $self->{t}->status->{clusters}{$name}{watch};
}

# From now on every weight is looked at, in a process of its own.
sub begin {
    my ($self, $fault) = @_;
    $self->{fault} = $fault;
    $self->{right} = {};
    $self->allow($self->{pods});
    # A server may have refused one before the fault, too (and a reason is told
    # once): only what fails from now on is told from here.
    $self->{log_from} = length $self->{t}->log;
    for my $name (@{$self->{followed}}) {
        DynamicWeight::wait_for(
            sub { !$self->watch_status($name)->{failing_since} },
            "$name to be well before the fault", 120)
            or die "$name: ", $self->watch_status($name)->{last_error}, "\n";
    }
    unlink "$self->{t}{dir}/seen.stop";
    $self->{t}->write_file('seen', '');
    $self->{seer} = fork // die "fork: $!\n";
    $self->see unless $self->{seer};
}

sub see {
    my ($self) = @_;
    my $t = $self->{t};
    my %seen;
    open my $f, '>>', "$t->{dir}/seen" or POSIX::_exit(1);
    $f->autoflush(1);
    until (-e "$t->{dir}/seen.stop") {
        my $status = eval { $t->status } or next;
        for my $name (@{$self->{followed}}) {
            for my $peer (@{$status->{upstreams}{$name}{peers}}) {
                my $one = "$peer->{server} $peer->{weight}";
                print $f "$one\n" unless $seen{$one}++;
            }
        }
        Time::HiRes::sleep(0.1);
    }
    POSIX::_exit(0);
}

# Weights of so many pods are right, too.
sub allow {
    my ($self, $pods) = @_;
    my $weights = $self->weights($pods);
    $self->{right}{"$_:$self->{t}{backend} $weights->{$_}"} = 1
        for keys %$weights;
}

# Waits until these say why they fail; the weights hold, and the log has a line
# with the URL.
sub failing {
    my ($self, $why, @names) = @_;
    for my $name (@names) {
        my $said = '';
        wait_ok {
            my $watch = $self->watch_status($name);
            $said = $watch->{last_error};
            $watch->{failing_since} && $said =~ $why
        } "$self->{fault}: $name: the status says why", 120 or diag($said);
        is_deeply($self->{t}->weights($name), $self->weights($self->{pods}),
            "$self->{fault}: $name: weights hold");
        my $log = '';
        wait_ok {
            $log = substr $self->{t}->log, $self->{log_from};
            $log =~ m{\[error\].*cluster "$name": .*(?:list|watch) https?://}
        } "$self->{fault}: $name: the log names the URL" or diag($log);
    }
}

# Waits for so many more failures of one of them.
sub failures {
    my ($self, $name, $more) = @_;
    my $before = $self->watch_status($name)->{failures};
    wait_ok { $self->watch_status($name)->{failures} >= $before + $more }
        "$self->{fault}: $name: $more more failures", 120;
}

# The cluster has another number of pods, which these are to learn.
sub has {
    my ($self, $pods, @names) = @_;
    $self->has_at($self->{kube}, $pods, @names);
}

# The same, written to another API server of the cluster.
sub has_at {
    my ($self, $kube, $pods, @names) = @_;
    $self->allow($pods);
    $kube->app('prod', 'orders', $pods);
    $self->goes_to($pods, @names);
}

# The same, for a cluster that changes by itself.
sub goes_to {
    my ($self, $pods, @names) = @_;
    $self->allow($pods);
    $self->{pods} = $pods;
    $self->wait_weights($self->{fault}, @names);
}

# The fault is over: what changes now is followed, and nothing but the right
# weights was ever in force.
sub recovers {
    my ($self) = @_;
    $self->has($self->{pods} + 3);
    for my $name (@{$self->{followed}}) {
        wait_ok { !$self->watch_status($name)->{failing_since} }
            "$self->{fault}: $name: well again", 120;
    }
    $self->{t}->write_file('seen.stop', '');
    waitpid delete $self->{seer}, 0;
    my @seen = split /\n/, $self->{t}->read_file('seen');
    cmp_ok(scalar @seen, '>', 0, "$self->{fault}: weights were looked at");
    is(join("\n", grep { !$self->{right}{$_} } @seen), '',
        "$self->{fault}: no wrong weight");
}

sub done {
    my ($self, @secrets) = @_;
    my $t = $self->{t};
    my $load = $t->stop_load;
    cmp_ok($load->{requests}, '>', 0, "$load->{requests} requests");
    is($load->{failed}, 0, 'no request failed') or diag(explain($load));
    my $secret = join '|', map { quotemeta } $self->{kube}->read_token,
        @secrets;
    unlike($t->log, qr/$secret/, 'no secret in the log');
    unlike(http_get($t->port, '/dw/status')->{body}, qr/$secret/,
        'nor in the status');
    $t->done;
}

sub DESTROY {
    my ($self) = @_;
    local $?;
    kill 'KILL', $self->{seer} if $self->{seer};
}

1;

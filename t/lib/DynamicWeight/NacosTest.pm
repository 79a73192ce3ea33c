package DynamicWeight::NacosTest;

# What every version of Nacos must come through, on a real server: instances that
# are peers, followed by subscription and by polling at the same time, under load.

use strict;
use warnings;

use DynamicWeight;
use DynamicWeight::InFlight qw(in_flight);
use DynamicWeight::Nacos;
use DynamicWeight::NacosSdk;
use List::Util qw(sum);
use Test::More;

# Peers of 30 VMs.
my @ips = map "127.0.0.$_", 11 .. 40;

sub conf {
    my ($t) = @_;
    $t->{names}{SDK} = free_port();
    my $orders = sub {
        my ($name, $cluster) = @_;
        return <<"EOF";
    upstream $name {
        dynamic_weight;
        instances $cluster service=orders slots=64 max_fails=0;
    }
EOF
    };
    $t->conf(http => <<"EOF" . $t->edge_server('orders'));
    dynamic_weight_zone main:4m state=%%DIR%%/state.json;
    dynamic_weight_cluster vm {
        type nacos; api %%VM%%;
    }
    dynamic_weight_cluster polled {
        type nacos; api %%VM%%; mode poll; interval 500ms;
    }
    dynamic_weight_cluster prod {
        type nacos; api %%VM%%; namespace prod;
    }
@{[$orders->('orders', 'vm')]}
@{[$orders->('orders_polled', 'polled')]}
    upstream pay {
        dynamic_weight;
        instances vm service=pay group=g1 clusters=bj,sh;
    }
    upstream orders_prod {
        dynamic_weight;
        instances prod service=orders;
    }
    upstream sdk {
        dynamic_weight;
        instances vm service=sdk;
    }
    upstream sdk_polled {
        dynamic_weight;
        instances polled service=sdk;
    }
    server {
        listen 127.0.0.1:%%SDK%%;
        location / { proxy_pass http://sdk; }
    }
EOF
    return;
}

# Both ways of following see the same.
sub follows {
    my ($t, $want, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    for my $upstream (qw(orders orders_polled)) {
        ok($t->wait_weights($upstream, $want, 60), "$name: $upstream");
    }
    return;
}

# What its watcher says of a cluster.
sub cluster { $_[0]->status->{clusters}{$_[1]}{watch} }

sub run {
    my ($version) = @_;
    my $t = DynamicWeight->new;
    my $vm = DynamicWeight::Nacos->new($t, 'VM', version => $version);
    $t->start_backends;
    conf($t);
    $vm->await;

    my $port = $t->{backend};
    $vm->register('orders', $_, $port) for @ips;
    $vm->register('orders', '127.0.0.50', $port, namespaceId => 'prod');
    $vm->register('pay', '127.0.0.60', $port, groupName => 'g1',
        clusterName => 'bj');
    $vm->register('pay', '127.0.0.61', $port, groupName => 'g1',
        clusterName => 'sh');
    $vm->register('pay', '127.0.0.62', $port, groupName => 'g1',
        clusterName => 'gz');
    $vm->register('pay', '127.0.0.63', $port);
    $t->start;

    my %want = map { $_ => 10 } @ips;
    follows($t, \%want, '30 instances');
    ok($t->wait_weights('orders_prod', {'127.0.0.50' => 10}), 'a namespace');
    ok($t->wait_weights('pay', {'127.0.0.60' => 10, '127.0.0.61' => 10}),
        'a group and clusters');
    unlike(join(' ', @{cluster($t, 'vm')->{warnings} // []}), qr/polled/,
        'subscribed');

    sdk($t, $vm);
    changes($t, $vm, \%want);
    forgets($t, $vm, \%want);
    $t->done;
    return;
}

# What the vendor's SDK registers, which is ephemeral and ends with its process.
sub sdk {
    my ($t, $vm) = @_;
    my $port = $t->{backend};
    my ($single, $batch) = map { DynamicWeight::NacosSdk->new($t, $vm) } 1, 2;
    $single->ask("register sdk $port $_")
        for qw(127.0.1.11=0.5 127.0.1.12=1 127.0.1.13=2);
    $batch->ask("batch sdk $port 127.0.1.21=1 127.0.1.22=1.5");
    as_the_server_says($t, $vm, 5, 'what the SDK has registered');

    my $weights = $t->weights('sdk');
    my $result = in_flight({ port => $t->{names}{SDK}, in_flight => 8,
        requests => 20 * sum(values %$weights) });
    my @off = grep {
        abs(($result->{bodies}{$_} // 0) - 20 * $weights->{$_}) > 4
    } keys %$weights;
    is("@off", '', '... gets its share') or diag(explain($result->{bodies}));

    $single->ask("register sdk $port 127.0.1.11=3");
    $single->ask("deregister sdk $port 127.0.1.13");
    wait_for { $vm->list('sdk')->{'127.0.1.11'}{weight} == 3 } 'the server';
    as_the_server_says($t, $vm, 4, 'a weight that it changes, one that leaves');
    $batch->stop;
    as_the_server_says($t, $vm, 2, 'those of a process that was killed leave');
    return;
}

# The SDK's service has so many instances, which the edge knows as they are.
sub as_the_server_says {
    my ($t, $vm, $n, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $list;
    wait_for { $list = $vm->list('sdk'); keys %$list == $n } $name, 60;
    my %want = map { $_ => 10 * $list->{$_}{weight} } keys %$list;
    is(scalar keys %want, $n, "$name: the server has $n");
    ok($t->wait_weights($_, \%want, 60), "$name: $_") for qw(sdk sdk_polled);
    return;
}

# Weights, and instances that are switched off or are not well, under load.
sub changes {
    my ($t, $vm, $want) = @_;
    my $port = $t->{backend};
    $t->start_load(2, pause => 0.005);
    $vm->change('orders', '127.0.0.11', $port, weight => 0.5);
    $vm->change('orders', '127.0.0.12', $port, weight => 2);
    @$want{qw(127.0.0.11 127.0.0.12)} = (5, 20);
    follows($t, $want, 'weights 0.5 and 2');

    $vm->change('orders', '127.0.0.13', $port, enabled => 'false');
    delete $want->{'127.0.0.13'};
    follows($t, $want, 'a disabled one');
    $vm->change('orders', '127.0.0.13', $port, enabled => 'true');
    $want->{'127.0.0.13'} = 10;
    follows($t, $want, 'enabled again');

    $vm->change('orders', '127.0.0.14', $port, weight => 0);
    delete $want->{'127.0.0.14'};
    follows($t, $want, 'a weight of 0 drains');

    $vm->deregister('orders', '127.0.0.15', $port);
    delete $want->{'127.0.0.15'};
    follows($t, $want, 'one that left');

    # The shares are those of the weights.
    my $mark = $t->mark;
    my $sum = 0;
    $sum += $_ for values %$want;
    wait_for { @{[$t->backend_requests($mark)]} >= 3 * $sum } 'requests';
    my $counts = $t->backend_counts($mark);
    my $ratio = ($counts->{'127.0.0.12'} // 0) / ($counts->{'127.0.0.11'} // 1);
    cmp_ok(abs($ratio - 4), '<', 1, 'shares follow weights');

    my $load = $t->stop_load;
    cmp_ok($load->{requests}, '>', 100, 'there was load');
    is($load->{failed}, 0, '... and no request failed');

    # Nobody listens there, which the server finds out by itself.
    $vm->register('orders', '127.0.0.99', DynamicWeight::free_port());
    wait_for {
        my $dead = $vm->list('orders')->{'127.0.0.99'};
        $dead && !$dead->{healthy}
    } 'the server to find it unhealthy', 60;
    follows($t, $want, 'an unhealthy one');
    $vm->deregister('orders', '127.0.0.99', $_->{port})
        for grep { $_ } $vm->list('orders')->{'127.0.0.99'};
    return;
}

# The server is killed and comes back without anything.
sub forgets {
    my ($t, $vm, $want) = @_;
    $vm->restart_empty;
    wait_ok { cluster($t, 'polled')->{last_error} } 'its absence is told of';
    follows($t, $want, 'without a server weights hold');
    $vm->await;
    wait_ok {
        my $warnings = join ' ', map { @{cluster($t, $_)->{warnings} // []} }
            qw(vm polled);
        2 <= (() = $warnings =~ /orders.*?names no instance/g)
    } 'that it names nothing is told of', 60;
    follows($t, $want, 'with one that has forgotten weights hold');

    $vm->register('orders', $_, $t->{backend})
        for grep { $_ ne '127.0.0.16' } @ips;
    %$want = map { $_ => 10 } grep { $_ ne '127.0.0.16' } @ips;
    follows($t, $want, 'what is registered anew is followed');
    return;
}

1;

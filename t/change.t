#!/usr/bin/perl

# Every kind of change that a configuration can make to a line, a cluster and an
# upstream, while the API hangs, is down, slow and quick: no request fails, and
# known nodes keep the weight that they have until the API has said another; and
# the same on the way back.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use DynamicWeight;
use JSON::PP;
use Test::More;

my $t = DynamicWeight->new(workers => 2);
my $other_port = $t->{names}{OTHER} = free_port();
my @apis = ($t->fake_cluster('BJ'), $t->fake_cluster('SH'));
for my $api (@apis) {
    $api->app('prod', 'a', 100, deployment => JSON::PP::true);
    $api->app('prod', 'b', 40);    # less than a guard lets pass at once
    $api->nodes('127.0.0.11', '127.0.0.12');
    $api->put('controller', PUT => 'ingress_service', { namespace => 'ingress',
        name => 'controller', addresses => ['127.0.0.13'] });
}
$t->start_backends;

# ---- What the edges say. A kind of change has a cluster and an upstream of its
# own, /KIND leads to it, and %c and %u stand for their names.

sub cluster {
    my (%is) = (name => '%c', api => 'BJ', nodes => 'nodes=role=ingress',
        more => '', @_);
    return "dynamic_weight_cluster $is{name} { api %%$is{api}%%; ingress_nodes "
        . "$is{nodes}; timeout 30s; $is{more} }\n";
}

sub upstream {
    my (%is) = (name => '%u', method => 'dynamic_weight;',
        lines => ['%c service=prod/a'], more => '', @_);
    my @lines = map { "ingress_nodes $_"
        . (/port=/ ? '' : ' port=%%BACKEND%%') . ';' } @{$is{lines}};
    return "upstream $is{name} { $is{method} @lines $is{more} }\n";
}

my $kvm = 'server 127.0.0.1:%%BACKEND%%;';
my $nodes = { '127.0.0.11' => 500, '127.0.0.12' => 500 };
my $with_kvm = { %$nodes, '127.0.0.1' => 10 };
my @simple = (cluster(), upstream());

# A kind: what it is at first and then; the weights at first, and after the
# change (`held`: until the API has answered). With a `goto` requests lead there.
my %kind = (
    line_source => {
        then => [cluster(), upstream(lines => ['%c service=prod/b'])],
        held => $nodes,
        changed => { '127.0.0.11' => 200, '127.0.0.12' => 200 },
    },
    line_source_with_kvm => {
        first => [cluster(), upstream(more => $kvm)],
        then => [cluster(),
            upstream(lines => ['%c service=prod/b'], more => $kvm)],
        weights => $with_kvm, held => $with_kvm,
        changed => { '127.0.0.1' => 10, '127.0.0.11' => 200,
            '127.0.0.12' => 200 },
    },
    line_kind_of_source => {
        then => [cluster(), upstream(lines => ['%c deployment=prod/a'])],
    },
    line_port => {
        then => [cluster(),
            upstream(lines => ["%c service=prod/a port=$other_port"])],
    },
    line_fewer_slots => {
        then => [cluster(), upstream(lines => ['%c service=prod/a slots=1'])],
        changed => { '127.0.0.11' => 1000 },
    },
    line_parameters => {
        then => [cluster(), upstream(lines => ['%c service=prod/a empty=drain '
            . 'max_fails=3 fail_timeout=3s max_conns=1000 slow_start=5s'])],
    },
    line_to_backup => {
        first => [cluster(), upstream(more => $kvm)],
        then => [cluster(), upstream(lines => ['%c service=prod/a backup'],
            more => $kvm)],
        weights => $with_kvm, changed => $with_kvm,
    },
    line_added => {
        then => [cluster(), upstream(lines => ['%c service=prod/a',
            '%c service=prod/b port=' . $other_port])],
        held => $nodes,
        total => [1000, 1400],
    },
    line_removed => {
        first => [cluster(), upstream(lines => ['%c service=prod/a',
            "%c service=prod/b port=$other_port"])],
        then => [cluster(), upstream(lines => ['%c service=prod/a'])],
        total => [1400, 1000],
    },
    lines_in_another_order => {
        first => [cluster(), upstream(lines => ['%c service=prod/a',
            "%c service=prod/b port=$other_port"])],
        then => [cluster(), upstream(lines => [
            "%c service=prod/b port=$other_port", '%c service=prod/a'])],
        total => [1400, 1400],
    },
    line_of_another_cluster => {
        first => [cluster(), cluster(name => '%c_sh', api => 'SH'), upstream(),
            upstream(name => '%u_b', lines => ['%c_sh service=prod/b'])],
        then => [cluster(), cluster(name => '%c_sh', api => 'SH'),
            upstream(lines => ['%c_sh service=prod/a']),
            upstream(name => '%u_b', lines => ['%c service=prod/b'])],
    },
    line_of_an_unknown_cluster => {
        first => [cluster(), upstream(),
            upstream(name => '%u_b', lines => ['%c service=prod/b'])],
        then => [cluster(), cluster(name => '%c_new', api => 'SH'),
            upstream(lines => ['%c_new service=prod/a']),
            upstream(name => '%u_b', lines => ['%c service=prod/b'])],
    },
    cluster_nodes => {
        then => [cluster(nodes => 'service=ingress/controller'), upstream()],
        held => $nodes,
        changed => { '127.0.0.13' => 1000 },
    },
    cluster_fixed_nodes => {
        then => [cluster(nodes => 'addresses=127.0.0.14'), upstream()],
        changed => { '127.0.0.14' => 1000 },
    },
    cluster_nodes_and_source => {
        then => [cluster(nodes => 'service=ingress/controller'),
            upstream(lines => ['%c service=prod/b'])],
        held => $nodes,
        changed => { '127.0.0.13' => 400 },
    },
    cluster_renamed => {
        then => [cluster(name => '%c_renamed'),
            upstream(lines => ['%c_renamed service=prod/a'])],
    },
    cluster_renamed_and_all_else => {
        then => [cluster(name => '%c_renamed', api => 'SH',
                nodes => 'service=ingress/controller'),
            upstream(lines => ['%c_renamed service=prod/b'])],
        held => $nodes,
        changed => { '127.0.0.13' => 400 },
    },
    cluster_of_another_api => {
        then => [cluster(api => 'SH'), upstream()],
    },
    cluster_one_more_api => {
        then => [cluster(api => 'SH', more => 'api %%BJ%%;'), upstream()],
    },
    cluster_polled => {
        then => [cluster(more => 'mode poll; interval 200ms;'), upstream()],
    },
    cluster_unguarded => {
        then => [cluster(more => 'guard off;'), upstream()],
    },
    cluster_removed => {
        first => [cluster(), upstream(more => $kvm)],
        then => [upstream(lines => [], more => $kvm)],
        weights => $with_kvm, changed => { '127.0.0.1' => 10 },
    },
    upstream_renamed => {
        then => [cluster(), upstream(name => '%u_renamed')],
        goto => 'upstream_renamed_renamed',
    },
    upstream_removed => {
        then => [cluster(), upstream(name => '%u_2',
            lines => ['%c service=prod/b'], more => $kvm)],
        goto => 'upstream_removed_2',
        held => { '127.0.0.1' => 10 },
        changed => { '127.0.0.1' => 10, '127.0.0.11' => 200,
            '127.0.0.12' => 200 },
    },
    upstream_least_conn => {
        then => [cluster(), upstream(method => 'dynamic_weight least_conn;')],
    },
    upstream_hash => {
        then => [cluster(),
            upstream(method => 'dynamic_weight hash $request_id;')],
    },
    upstream_base => {
        then => [cluster(), upstream(more => 'dynamic_weight_base 20;')],
        changed => { '127.0.0.11' => 1000, '127.0.0.12' => 1000 },
    },
    upstream_servers => {
        then => [cluster(), upstream(more => $kvm)],
        changed => $with_kvm,
    },
    upstream_keepalive => {
        then => [cluster(), upstream(more => 'dynamic_weight_keepalive 1;')],
    },
    upstream_without_lines => {
        first => [cluster(), upstream(more => $kvm)],
        then => [cluster(), upstream(lines => [], more => $kvm)],
        weights => $with_kvm, changed => { '127.0.0.1' => 10 },
    },
);
my @kinds = sort keys %kind;

for my $name (@kinds) {
    my $k = $kind{$name};
    $k->{first} //= [@simple];
    $k->{weights} //= $nodes;
    $k->{changed} //= $k->{held} // $k->{weights};
    $k->{held} //= $k->{changed};
}

sub conf {
    my ($which) = @_;
    my $http = "dynamic_weight_zone main:4m state=%%DIR%%/state/main.json;\n"
        . "server { listen $other_port; return 200 other; }\n";
    my $locations = '';
    for my $name (@kinds) {
        my $text = join '', @{$kind{$name}{$which}};
        $text =~ s/%c/c_$name/g;
        $text =~ s/%u/$name/g;
        $http .= $text;
        my $goto = $which eq 'then' && $kind{$name}{goto} || $name;
        $locations .= "location = /$name { proxy_pass http://$goto/; "
            . 'proxy_http_version 1.1; proxy_set_header Connection ""; }';
    }
    $http .= $t->edge_server($kinds[0]) =~ s/(?= +location \/dw)/$locations/r;
    $t->conf(http => $http);
}

# ---- What is looked at.

sub total {
    my ($status, $upstream) = @_;
    my $total = 0;
    $total += $_->{weight} for @{$status->{upstreams}{$upstream}{peers}};
    return $total;
}

# The kinds whose weights are not those, each with what they are.
sub wrong {
    my ($which) = @_;
    my $status = $t->status or return 'no status';
    my $json = JSON::PP->new->canonical;
    my @wrong;
    for my $name (@kinds) {
        my $k = $kind{$name};
        my $upstream = $which ne 'weights' && $k->{goto} || $name;
        if ($k->{total}) {
            my $want = $k->{total}[$which eq 'changed'];
            my $total = total($status, $upstream);
            # a line that is added may have none until it is known
            push @wrong, "$name: $total instead of $want"
                unless $total == $want
                || $which eq 'held' && $total == $k->{total}[1];
            next;
        }
        my %is;
        for my $peer (@{$status->{upstreams}{$upstream}{peers}}) {
            next if $peer->{state} =~ /^drain/;
            my ($address) = $peer->{server} =~ /^(.*):\d+$/;
            $is{$address} = $peer->{weight} + 0;
        }
        my $is = $json->encode(\%is);
        my $want = $json->encode($k->{$which});
        push @wrong, "$name: $is instead of $want" if $is ne $want;
    }
    return join "\n", @wrong;
}

sub provisional {
    my $status = $t->status;
    return map { my $u = $_; map { $_->{provisional} ? $u : () }
        @{$status->{upstreams}{$u}{clusters}} } keys %{$status->{upstreams}};
}

# Nothing is waited for any more.
sub settles {
    my ($what, $which) = @_;
    my $said = '';
    wait_ok { ($said = wrong($which)) eq '' && !provisional()
        && !grep { !$_->{watch}{synced} } values %{$t->status->{clusters}} }
        "$what: in the end all is as the API says", 60 or diag($said);
}

sub is_served {
    my ($what) = @_;
    my $from = $t->load_so_far->{requests};
    wait_for { $t->load_so_far->{requests} > $from + 2 * @kinds + 200 }
        'requests', 60;
    is($t->load_so_far->{failed}, 0, "$what: no request failed")
        or diag(explain($t->load_so_far));
}

# ---- The changes.

my %condition = (
    hanging => sub { $_->fault('hang') for @apis },
    down    => sub { $_->stop for @apis },
    slow    => sub { $_->fault('delay', delay_ms => 1500) for @apis },
    quick   => sub { },
);

conf('first');
ok($t->start, 'nginx starts');
settles('at first', 'weights');
is(http_get($t->port, '/dw/ready')->{body}, "{\"ready\":true}\n", 'ready');
$t->start_load(1, uri => [map { "/$_" } @kinds]);

for my $name (qw(hanging down slow quick)) {
    my $silent = $name eq 'hanging' || $name eq 'down';
    $condition{$name}->();

    conf('then');
    ok($t->reload, "$name: changed");
    is(wrong('held'), '', "$name: the weights at once") if $silent;
    is(http_get($t->port, '/dw/ready')->{status}, 200, "$name: ready still");
    if ($silent) {
        my %held = map { $_ => 1 } provisional();
        ok($held{line_source} && $held{cluster_nodes} && $held{cluster_renamed}
            && !$held{line_port}, "$name: what is provisional says so");
    }
    is_served("$name, changed");
    settles("$name, changed", 'changed') unless $silent;

    conf('first');
    ok($t->reload, "$name: rolled back");
    is(wrong('weights'), '', "$name: the previous weights at once");
    is(http_get($t->port, '/dw/ready')->{status}, 200, "$name: ready still");
    is_served("$name, rolled back");

    $name eq 'down' ? $_->start : $_->heal for @apis;
    settles("$name, rolled back", 'weights');
}
is($t->load_so_far->{failed}, 0, 'no request failed');
is(join("\n", grep { /held back/ } split /\n/, $t->log), '',
    'no guard argued with a word of the API for what was provisional');

# A restart has only the state file.

conf('then');
ok($t->reload, 'changed once more');
settles('changed', 'changed');
my $load = $t->stop_load;
is($load->{failed}, 0, "none of $load->{requests} requests failed")
    or diag(explain($load));
wait_ok { $t->read_file('state/main.json') =~ /"name":"c_cluster_renamed_renamed"/ }
    'the state file is written';
ok($t->stop, 'stopped');
$_->fault('hang') for @apis;
conf('first');
ok($t->start, 'started with the previous configuration, and an API that hangs');
is(wrong('weights'), '', 'the previous weights at once');
is(http_get($t->port, '/dw/ready')->{status}, 200, 'ready');
$_->heal for @apis;

$t->done;

#!/usr/bin/perl

# bench/freshness.pl [CHANGES [SECONDS [BEHIND]]]: how long from a pod that
# becomes ready to the first request that goes by the new weight, with a real
# kube-apiserver and nginx; 200 changes each, for pods counted by EndpointSlices
# and by Pod objects. They come at random moments over so many SECONDS, or one
# after the other. BEHIND is what stands before the API server: haproxy, which
# cuts what is quiet for 20 s, nginx (35 s) or buffering (an nginx).
#
# Each change is one PATCH that makes the only pod ready, so that the ingress
# node's weight goes from 0 to that of the KVM and every other pick is its own.
# Requests follow one another on a kept connection meanwhile; their own
# duration, the last column, is in the other figures, too.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../t/lib";

use IO::Select;
use IO::Socket::INET;
use Time::HiRes qw(clock_gettime CLOCK_MONOTONIC sleep);

use DynamicWeight;
use DynamicWeight::Intermediary;

my ($changes, $seconds, $behind) = @ARGV;
$changes ||= 200;
$seconds ||= 0;
$behind //= 'nothing';
my %intermediary = (
    haproxy   => ['haproxy', cut => 20],
    nginx     => ['nginx', cut => 35],
    buffering => ['nginx', buffer => 1],
);
die "before an API server can stand: @{[sort keys %intermediary]}\n"
    if $behind ne 'nothing' && !$intermediary{$behind};
my $node = '127.0.0.11';

my %source = (
    'service' => {
        words => 'service=prod/orders',
        path  => '/apis/discovery.k8s.io/v1/namespaces/prod/endpointslices'
            . '/orders-0',
        patch => '[{"op":"replace","path":"/endpoints/0/conditions/ready",'
            . '"value":%s}]',
        ready => ['false', 'true'],
    },
    'pods' => {
        words => 'pods=prod/app=orders',
        path  => '/api/v1/namespaces/prod/pods/orders-0/status',
        patch => '[{"op":"replace","path":"/status/conditions/0/status",'
            . '"value":"%s"}]',
        ready => ['False', 'True'],
    },
);

# Else a connection that was closed would end this without a word.
$SIG{PIPE} = sub { die "a connection was closed\n" };

sub now { 1000 * clock_gettime(CLOCK_MONOTONIC) }

sub connect_to {
    my ($port) = @_;
    my $s = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port)
        or die "port $port: $!\n";
    $s->autoflush(1);
    return $s;
}

# The body of an answer on a kept connection.
sub answer {
    my ($s) = @_;
    my $text = '';
    until ($text =~ /\r\n\r\n/) {
        sysread($s, $text, 65536, length $text) or die "connection closed\n";
    }
    my ($head, $body) = split /\r\n\r\n/, $text, 2;
    $head =~ m{^HTTP/1.1 200} or die "$head\n$body\n";
    my ($length) = $head =~ /^Content-Length: (\d+)/mi;
    while (defined $length ? length $body < $length : $body !~ /\r\n0\r\n/) {
        sysread($s, $body, 65536, length $body) or die "connection closed\n";
    }
    return $body;
}

sub pick {
    my ($edge) = @_;
    print $edge "GET / HTTP/1.1\r\nHost: edge\r\n\r\n";
    chomp(my $address = answer($edge));
    return $address;
}

sub send_patch {
    my ($api, $source, $ready) = @_;
    my $body = sprintf $source->{patch}, $source->{ready}[$ready];
    print $api "PATCH $source->{path} HTTP/1.1\r\nHost: api\r\n"
        . 'Authorization: Bearer ' . DynamicWeight::KubeCluster::ADMIN_TOKEN()
        . "\r\nContent-Type: application/json-patch+json\r\n"
        . 'Content-Length: ' . length($body) . "\r\n\r\n$body";
}

# One change: milliseconds from its being sent and from its being answered to
# the first pick, and of a pick.
sub measure {
    my ($t, $name, $source, $api, $edge) = @_;
    send_patch($api, $source, 0);
    answer($api);
    wait_for { !exists $t->weights($name)->{$node} } 'the weight to go'
        or die "the weight stays\n";
    # A single change: the one before is older than dynamic_weight_coalesce.
    sleep 0.1 + rand 0.1;
    sleep rand 2 * $seconds / $changes / keys %source;

    my ($picks, $answered) = (0);
    my $select = IO::Select->new($api);
    my $sent = now();
    send_patch($api, $source, 1);
    while (1) {
        my $address = pick($edge);
        $picks++;
        $answered //= now() if $select->can_read(0);
        last if $address eq $node;
        die "no pick after 60 s\n" if now() - $sent > 60000;
    }
    my $picked = now();
    # A pick before the answer: at once.
    $answered //= $picked;
    answer($api);
    return ($picked - $sent, $picked - $answered, ($picked - $sent) / $picks);
}

sub row {
    my ($name, $from, @values) = @_;
    my @sorted = sort { $a <=> $b } @values;
    my $at = sub { $sorted[int($_[0] * $#sorted + 0.5)] };
    printf "%-8s  %-14s  %7.1f  %7.1f  %7.1f  %7.1f", $name, $from,
        map { $at->($_) } 0.5, 0.9, 0.99, 1;
}

my $t = DynamicWeight->new;
my $kube = $t->kube_cluster('A');
my $gateway =
    DynamicWeight::Intermediary->new($t, 'GATE', $kube, 'nginx');
DynamicWeight::Intermediary->new($t, 'BEHIND', $kube,
    @{$intermediary{$behind}}) if $behind ne 'nothing';
my $api = $behind eq 'nothing' ? 'A' : 'BEHIND';
$kube->app('prod', 'orders', 1, pod_objects => 1);
$kube->nodes($node);
$t->start_backends;

my $conf = "    dynamic_weight_zone main:1m;\n" . <<"EOF";
    dynamic_weight_cluster A {
        api            %%$api%%;
        token_file     %%A_TOKEN%%;
        ca_file        %%A_CA%%;
        ingress_nodes  nodes=role=ingress;
        guard          off;
    }
EOF
my %port;
for my $name (sort keys %source) {
    $port{$name} = free_port();
    $conf .= <<"EOF";
    upstream $name {
        dynamic_weight;
        server         127.0.0.1:%%BACKEND%%;
        ingress_nodes  A $source{$name}{words} port=%%BACKEND%% empty=drain;
        keepalive      16;
    }
    server {
        listen 127.0.0.1:$port{$name};
        location / {
            proxy_pass          http://$name;
            proxy_http_version  1.1;
            proxy_set_header    Connection "";
        }
    }
EOF
}
$t->conf(http => $conf . $t->edge_server('service'));
$t->start;
$t->wait_weights($_, { '127.0.0.1' => 10, $node => 10 })
    || die "no weights: see $t->{dir}/error.log\n" for sort keys %source;

print "milliseconds to the first pick with the new weight, $changes changes, "
    . "before the API server stands $behind\n";
printf "%-8s  %-14s  %7s  %7s  %7s  %7s  %s\n",
    'source', 'from', 'p50', 'p90', 'p99', 'max', 'a request';
for my $name (sort keys %source) {
    my $api = connect_to($gateway->port);
    my $edge = connect_to($port{$name});
    my (@sent, @answered, $request);
    for (1 .. $changes) {
        my ($from_sent, $from_answered, $one) =
            measure($t, $name, $source{$name}, $api, $edge);
        push @sent, $from_sent;
        push @answered, $from_answered;
        $request += $one / $changes;
    }
    row($name, 'PATCH sent', @sent);
    print "\n";
    row($name, 'PATCH answered', @answered);
    printf "  %.2f\n", $request;
}
my $watch = $t->status->{clusters}{A}{watch};
print join(', ', map { "$_ $watch->{$_}" } qw(watches lists failures)),
    $watch->{last_error} ? ": $watch->{last_error}" : '', "\n";
$t->cleanup;

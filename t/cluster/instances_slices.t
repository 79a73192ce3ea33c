#!/usr/bin/perl

# Pods as peers, from slices that a real API server holds: of both address
# families, of one and then the other, and with ports that change under a name.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

# The API server refuses loopback addresses.
use DynamicWeight::OwnNetwork '10.128.0.0/16', 'fd00:10::/64';
use DynamicWeight;
use DynamicWeight::Functions;
use DynamicWeight::InFlight qw(in_flight);
use DynamicWeight::Pods;
use Test::More;

my $t = DynamicWeight->new;
my $kube = $t->kube_cluster('A',
    apiserver => ['--advertise-address=10.128.255.1']);
my ($http, $moved) = ($t->{backend}, free_port());

sub v4 { return map { "10.128.0.$_" } @_ }
sub v6 { return map { s/^10\.128\.0\./fd00:10::/r } @_ }

# A Service of `http` and `admin`, in slices of a few; three pods.
sub service {
    my ($name, %more) = @_;
    my $pods = DynamicWeight::Pods->new($kube, 'prod', $name, slice => 2,
        ports => { http => $http, admin => 9 }, %more);
    return $pods->set(v4(1 .. 3));
}
my $both = service('both', v6 => sub { v6(@_) });
# In one slice where they have the same ports: a change of all is one write.
my $named = service('named', slice => 100);

$t->start_backends(v6 => 1, ports => [$moved]);
my $upstreams = join '', map { <<"EOF" } qw(both named);
    upstream $_ {
        dynamic_weight;
        instances  a service=prod/$_ port=http slots=16;
    }
EOF
$t->conf(http => <<'EOF' . $upstreams . <<'EOF2');
    dynamic_weight_zone main:2m;
    dynamic_weight_cluster a {
        api            %%A%%;
        token_file     %%A_TOKEN%%;
        ca_file        %%A_CA%%;
        guard          confirm=1s;
    }
EOF
    server {
        listen 127.0.0.1:%%PORT%%;
        location /both/  { proxy_pass http://both/; }
        location /named/ { proxy_pass http://named/; }
        location /dw/ { dynamic_weight_status; }
    }
EOF2
ok($t->start, 'nginx starts');

# The servers that take requests are just these; each gets its part, or, while
# others take theirs of the sequence, something.
my $load;
sub serves {
    my ($upstream, $want, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my @want = sort @$want;
    my @have;
    wait_for {
        @have = sort map { $_->{server} } grep { $_->{state} !~ /^drain/ }
            @{$t->status->{upstreams}{$upstream}{peers}};
        "@have" eq "@want";
    };
    is("@have", "@want", "$name: the peers");
    my $result = in_flight({ port => $t->port, in_flight => 1,
        uri => sub { "/$upstream/" }, requests => 20 * @want });
    my @off = grep { !$load && $result->{bodies}{$_} != 20 }
        map { s/^\[?(.*?)\]?:\d+$/$1/r } @want;
    return ok(!@off && keys %{$result->{bodies}} == @want,
        "$name: each has its part") || diag(explain($result->{bodies}));
}
sub at {
    my ($port, @addresses) = @_;
    return [map { (/:/ ? "[$_]" : $_) . ":$port" } @addresses];
}

serves(both => at($http, v4(1 .. 3)),
    'a pod of both families is there once');
serves(named => at($http, v4(1 .. 3)), 'a port by its name');

# ---- Families.

$load = $t->start_load(2, uri => '/both/');
$both->add(v4(4, 5));
serves(both => at($http, v4(1 .. 5)), 'more of both families');
# As a Service becomes one of IPv6 alone.
$both->{v6_only} = 1;
$both->write;
serves(both => at($http, v6(v4(1 .. 5))), 'without IPv4, by IPv6');
$both->remove(v4(2));
serves(both => at($http, v6(v4(1, 3, 4, 5))), 'one of them leaves');
$both->{v6_only} = 0;
$both->write;
serves(both => at($http, v4(1, 3, 4, 5)), 'and by IPv4 again');
$load = $t->stop_load;
is($load->{failed}, 0, "none of $load->{requests} requests failed");
undef $load;
serves(both => at($http, v4(1, 3, 4, 5)), 'at rest');

# ---- Ports.

$load = $t->start_load(2, uri => '/named/');
# A release whose pods listen elsewhere under the name: slices of both kinds.
$named->add(v4(11));
$named->change(v4(11), ports => { http => $moved, admin => 9 });
serves(named => [@{at($http, v4(1 .. 3))}, @{at($moved, v4(11))}],
    'each pod has its own port');
for my $n (1 .. 3) {
    my ($old, $new) = (v4($n), v4($n + 11));
    $named->{ports} = { http => $moved, admin => 9 };
    $named->add($new);
    $named->change($old, state => 'terminating');
    $named->remove($old);
}
serves(named => at($moved, v4(11 .. 14)), 'a release to another port');
# The Service's own port is another one, with the pods as they are.
$named->change([v4(11 .. 14)], ports => { http => $http, admin => 9 });
serves(named => at($http, v4(11 .. 14)), 'the port of all');

# Its name is gone: nobody knows where they are, so they stay where they were.
$named->change([v4(11 .. 14)], ports => { web => $moved, admin => 9 });
sub held {
    return grep { /named port=http.*none of its ports is named http/ }
        @{$t->status->{clusters}{a}{watch}{warnings}};
}
wait_ok { held() } 'a name that is gone is told';
serves(named => at($http, v4(11 .. 14)), 'and all stay');
$named->change([v4(11 .. 14)], ports => { http => $http, admin => 9 });
wait_ok { !held() } 'it is back';
serves(named => at($http, v4(11 .. 14)), 'as before');
$load = $t->stop_load;
is($load->{failed}, 0, "none of $load->{requests} requests failed");
undef $load;
serves(named => at($http, v4(11 .. 14)), 'at rest');

$t->done;

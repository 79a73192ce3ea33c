#!/usr/bin/perl

# A registry of three servers that share what they are told, one of which hangs
# and one of which is killed: those that the edge is connected to, under load. A
# real registry of Nacos 2.3.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use DynamicWeight;
use DynamicWeight::Nacos;
use Test::More;

my $t = DynamicWeight->new;
my @servers = DynamicWeight::Nacos->registry($t, [qw(A B C)],
    version => '2.3');
my %by_url = map { $_->url => $_ } @servers;
$t->start_backends;

my @clusters = qw(subscribed polled);
my $apis = join ' ', map "api %%$_%%;", qw(A B C);
$t->conf(http => <<"EOC" . $t->edge_server('subscribed'));
    dynamic_weight_zone main:4m;
    dynamic_weight_cluster subscribed {
        type nacos; $apis
    }
    dynamic_weight_cluster polled {
        type nacos; $apis mode poll; interval 500ms;
    }
    upstream subscribed {
        dynamic_weight;
        instances subscribed service=orders slots=64 max_fails=0;
    }
    upstream polled {
        dynamic_weight;
        instances polled service=orders slots=64 max_fails=0;
    }
EOC

# VMs of three weights; what the edge makes of these.
my %registered = map { ("127.0.0.$_" => (0.5, 1, 2)[$_ % 3]) } 11 .. 40;
my %want;

# What a server knows: all that are registered, and all are well.
sub knows_all {
    my ($server) = @_;
    my $list = $server->list('orders');
    return keys %$list == keys %registered && !grep {
        !$list->{$_}{healthy} || $list->{$_}{weight} != $registered{$_}
    } keys %registered;
}

# Until the registry has chosen who leads it it takes nothing.
sub enter {
    my ($server, $how, $address, $weight) = @_;
    $registered{$address} = $weight;
    $want{$address} = 10 * $weight;
    return wait_for {
        $server->$how('orders', $address, $t->{backend}, weight => $weight);
        1
    } "a server to take $address", 60;
}

sub watch { return $t->status->{clusters}{$_[0]}{watch} }
sub server_of { return $by_url{watch($_[0])->{api}} }
sub others { my ($lost) = @_; return grep { $_ != $lost } @servers }

# Waits for a condition of both clusters; false, too, when a weight is meanwhile
# another than wanted.
sub holds_until {
    my ($condition, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my %off;
    for my $cluster (@clusters) {
        my $came = wait_for {
            for my $upstream (@clusters) {
                my $weights = $t->weights($upstream);
                $off{"$upstream $_"} = $weights->{$_}
                    for grep { ($weights->{$_} // -1) != $want{$_} } keys %want;
            }
            $condition->($cluster)
        } "$name: $cluster", 60;
        ok($came, "$name: $cluster");
    }
    return is_deeply(\%off, {}, '... and no weight was another');
}

# What the registry is told now reaches the edge.
sub follows {
    my ($server, $address, $weight, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    enter($server, 'change', $address, $weight);
    ok($t->wait_weights($_, \%want, 60), "$name: $_") for @clusters;
    return;
}

$_->await for @servers;
enter($servers[$_ % 3], 'register', "127.0.0.$_", $registered{"127.0.0.$_"})
    for 11 .. 40;
wait_ok { @servers == grep { knows_all($_) } @servers }
    'each server knows all instances', 60;
$t->start;
ok($t->wait_weights($_, \%want, 60), "30 instances: $_") for @clusters;
$t->start_load(2, pause => 0.005);

# ---- One hangs: it neither answers nor closes a connection.

my $hung = server_of('subscribed');
my $before = watch('subscribed');
$hung->freeze;
holds_until(sub { server_of($_[0]) != $hung },
    'the edge leaves a server that hangs');
my $after = watch('subscribed');
cmp_ok($after->{failures}, '>', $before->{failures}, '... which is a failure');
isnt($after->{last_error_at}, $before->{last_error_at}, '... in the status');
my $url = quotemeta $hung->url;
like($t->log, qr/subscribed.*$url.*no answer/, '... and in the log');
follows((others($hung))[0], '127.0.0.11', 3, 'without it changes arrive');
$hung->thaw;
wait_ok { @servers == grep { knows_all($_) } @servers }
    'it goes on and knows all again', 60;
holds_until(sub { my $watch = watch($_[0]);
        $watch->{synced} && !$watch->{last_error} }, 'all is well again');

# ---- One is killed.

my $killed = server_of('subscribed');
$killed->stop;
holds_until(sub { my $watch = watch($_[0]);
        server_of($_[0]) != $killed && !$watch->{last_error} },
    'the edge leaves a server that is dead');
follows((others($killed))[0], '127.0.0.12', 4, 'without it changes arrive');

my $load = $t->stop_load;
cmp_ok($load->{requests}, '>', 100, 'there was load');
is($load->{failed}, 0, '... and no request failed');
unlike(join(' ', map { @{watch($_)->{warnings}} } @clusters), qr/polled each/,
    'it is subscribed, not polled');
$t->done;

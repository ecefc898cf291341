//! Who am I, and which team is this.

use serde::Serialize;

use crate::actions::{Call, Payload};
use crate::failure::Failure;
use crate::render::{member_body, team_roles};
use crate::wire::MemberBody;
use crate::world::World;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct CurrentUser<'a> {
    id: u32,
    status: i8,
    email: &'a str,
    global_key: &'a str,
    avatar: &'a str,
    gravatar: &'static str,
    name: &'a str,
    #[serde(rename = "NamePinYin")]
    name_pinyin: &'a str,
    phone: &'a str,
    phone_validation: u8,
    email_validation: u8,
    phone_region_code: &'static str,
    region: &'static str,
    team_id: u32,
    we_com_id: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Team<'a> {
    id: u32,
    name: &'a str,
    #[serde(rename = "NamePinYin")]
    name_pinyin: &'a str,
    avatar: &'static str,
    team_host: String,
    is_verification: bool,
    team_owner: Option<MemberBody<'a>>,
}

/// `DescribeCodingCurrentUser`: nobody stands behind a project token.
pub(crate) fn current_user(world: &World, call: &Call<'_>) -> Result<Payload, Failure> {
    let user =
        world.users.get(&world.owner).filter(|_| call.caller.is_user).ok_or_else(Failure::unauthorized)?;
    Ok(Payload::of(
        "User",
        &CurrentUser {
            id: user.id,
            status: user.status,
            email: &user.email,
            global_key: &user.global_key,
            avatar: &user.avatar,
            gravatar: "",
            name: &user.name,
            name_pinyin: &user.pinyin,
            phone: &user.phone,
            phone_validation: u8::from(!user.phone.is_empty()),
            email_validation: u8::from(!user.email.is_empty()),
            phone_region_code: "+86",
            region: "cn",
            team_id: world.team_id,
            we_com_id: "",
        },
    ))
}

/// `DescribeTeam`.
pub(crate) fn team(world: &World) -> Payload {
    let owner = world.users.get(&world.owner);
    Payload::of(
        "Data",
        &Team {
            id: world.team_id,
            name: &world.team,
            name_pinyin: &world.team,
            avatar: "https://avatars.example.com/team.png",
            team_host: format!("https://{}.coding.net", world.team),
            is_verification: true,
            team_owner: owner.map(|owner| member_body(world, owner, team_roles(world, owner.id))),
        },
    )
}
